"""Arrow arrays laid out by hand equal those that pyarrow makes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.columns import to_array

FAULT = pa.struct([("kind", pa.string()), ("offset", pa.int64())])
TEXT = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "string": (pa.string(), TEXT),
    "bool": (pa.bool_(), st.none() | st.booleans()),
    "int32": (pa.int32(), st.none() | st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    "float64": (pa.float64(), st.none() | st.floats(allow_nan=False)),
    "list<string>": (pa.list_(pa.string()), st.lists(TEXT, max_size=3)),
    "list<struct>": (pa.list_(FAULT), st.lists(st.tuples(TEXT, st.none() | st.integers(0, 9)), max_size=3)),
}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_arrays_equal_those_of_pyarrow(name: str, data: st.DataObject) -> None:
    """Any values of any of the types make the array that ``pyarrow.array`` makes of them."""
    kind, strategy = KINDS[name]
    values = data.draw(st.lists(strategy, max_size=20) | strategy.map(lambda value: [value] * 5))
    made = to_array(values, kind)
    made.validate(full=True)
    plain = (
        [[dict(zip(("kind", "offset"), each, strict=True)) for each in value] for value in values]
        if "struct" in name
        else values
    )
    assert made.equals(pa.array(plain, kind))
    assert made.null_count == values.count(None)


def test_numbers_that_do_not_fit_are_refused() -> None:
    """An integer beyond the type raises instead of wrapping."""
    with pytest.raises(OverflowError):
        to_array([2**40], pa.int32())


def test_a_worker_never_loads_pandas() -> None:
    """Scanning a batch in a fresh process imports everything it needs, and pandas is not among it."""
    code = """
import sys
from scanner.batch import Batch
from scanner.options import Limits
from scanner.worker import ScanWork
import struct
word = struct.pack("=q", 1)
ScanWork(Limits())(memoryview(Batch(0, "f", word, b"\\0", word, [b"p"], word, [b"x"]).pack()))
print("pandas" in sys.modules, "pyarrow" in sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "True"]
