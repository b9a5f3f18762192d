"""Probes: a user's own functions of a Task, each of which adds a column to the records.

A probe runs in the workers, once a row, after the row was scanned. It may be anything callable, lambdas and functions
of a notebook included: they travel by dill. What it raises becomes a ``probe-error`` fault of the row, whose column
stays null; the other columns and rows do not notice. Rows without bytes are not given to probes.

The type of a column is decided before the first row, so that it cannot depend on the data: by what is declared, else by
the annotation of the return value, else it is JSON text, which holds anything.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import dill
import msgspec
import pyarrow as pa
from xxhash import xxh3_128

from scanner.errors import UsageError
from scanner.model import Blob, Fault, Record, printable
from scanner.options import SMALL_BYTES, Limits
from scanner.records import SCHEMA
from scanner.task import Task

ProbeLike: TypeAlias = "Callable[[Task], Any] | tuple[Callable[[Task], Any], type | str]"
"""A function of a Task; or one and the type of its column: bool, int, float, str, or ``"json"``."""

TYPES: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "json": pa.string(),
}
"""Column types by the name of what a probe returns; any other value is kept as JSON text."""

DETAIL_CHARS: Final = 300
_ARROW_NAMES: Final = {"int64": "int", "float64": "float", "string": "str"}
_INT64: Final = 1 << 63


class UserProbe:
    """One probe: the name of its column, its function, and the type of its values (a key of :data:`TYPES`)."""

    def __init__(self, name: str, declared: ProbeLike) -> None:
        function, kind = declared if isinstance(declared, tuple) else (declared, None)
        if not name.isidentifier() or name in SCHEMA.names or name == "fault_kinds":
            raise UsageError(f"a probe cannot be called {name!r}: it names a new column, in letters, digits and _")
        if not callable(function):
            raise UsageError(f"the probe {name!r} is no function but {type(function).__name__}")
        self.name = name
        self.function = function
        self.kind = _kind_of(function) if kind is None else _known(name, kind)

    def __call__(self, task: Task) -> Any:
        """The value for a row, fit for its column. Raises whatever the function does, and TypeError for a misfit."""
        value = self.function(task)
        return None if value is None else _FITS[self.kind](value)


class Probes:
    """The probes of one scan, in the order they were given. Raises UsageError where one is no probe."""

    def __init__(self, probes: Mapping[str, ProbeLike]) -> None:
        self._probes = [UserProbe(name, declared) for name, declared in probes.items()]
        self._arena: bytearray | None = None
        self.fields = [pa.field(probe.name, TYPES[probe.kind]) for probe in self._probes]
        self.digests = {probe.name: f"{probe.kind} {digest_of(probe.function)}" for probe in self._probes}
        """What the values depend on besides the data: types and code. Part of a Run's arguments."""

    def values(self, blob: Blob, record: Record, limits: Limits) -> tuple[Any, ...]:
        """The values for one row; faults are added to ``record``."""
        if blob.data is None:
            return (None,) * len(self._probes)
        if self._arena is None:
            self._arena = bytearray(SMALL_BYTES)
        with Task(blob, limits=limits, record=record, arena=self._arena) as task:
            return tuple([self._value(probe, task) for probe in self._probes])

    @staticmethod
    def _value(probe: UserProbe, task: Task) -> Any:
        try:
            return probe(task)
        except MemoryError:
            raise  # at its memory limit a worker is of no use to the rows that come next: the engine's to judge
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is the row's, not the scan's
            said = " ".join(f"{probe.name}: {type(error).__name__}: {error}".split())
            record = task.record
            record.faults = [*record.faults, Fault("probe-error", detail=printable(said)[:DETAIL_CHARS])]
            if record.status == "ok":
                record.status = "degraded"
            return None


def schema_of(arguments: Mapping[str, Any]) -> pa.Schema:
    """The schema of the records of a Run with these arguments (as its manifest holds them)."""
    told: Mapping[str, str] = arguments.get("probes", {})
    fields = [pa.field(name, TYPES[digest.partition(" ")[0]]) for name, digest in told.items()]
    return pa.schema([*SCHEMA, *fields], metadata=SCHEMA.metadata)


# -- types ------------------------------------------------------------------------------------------------------------


def _known(name: str, kind: type | str) -> str:
    text = kind if isinstance(kind, str) else kind.__name__
    text = _ARROW_NAMES.get(text, text)
    if text not in TYPES:
        raise UsageError(f"the probe {name!r} cannot have the type {text!r}; there are {', '.join(TYPES)}")
    return text


def _kind_of(function: Callable[..., Any]) -> str:
    """The type by the annotation of the return value, ``X | None`` as X; ``json`` where that says nothing."""
    try:
        annotation = inspect.signature(function).return_annotation
    except (TypeError, ValueError):
        return "json"
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    parts = {
        part.strip() for part in text.removeprefix("typing.").removeprefix("Optional[").removesuffix("]").split("|")
    } - {"None"}
    only = parts.pop() if len(parts) == 1 else ""
    return only if only in TYPES else "json"


def _a_bool(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # numpy's too
        raise TypeError(f"returned {value!r:.80}, not a bool")
    return bool(value)


def _an_int(value: Any) -> int:
    number = int(value.__index__()) if hasattr(value, "__index__") else None
    if number is None or not -_INT64 <= number < _INT64:
        raise TypeError(f"returned {value!r:.80}, not an int of 64 bits")
    return number


def _a_float(value: Any) -> float:
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"returned {value!r:.80}, not a float")
    return float(value)


def _a_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"returned {value!r:.80}, not a str")
    return printable(value)


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


_FITS: Final[dict[str, Callable[[Any], Any]]] = {
    "bool": _a_bool,
    "int": _an_int,
    "float": _a_float,
    "str": _a_text,
    "json": _as_json,
}


# -- identity ---------------------------------------------------------------------------------------------------------


def digest_of(function: Callable[..., Any]) -> str:
    """A hash of what ``function`` does: its code, defaults, closure and the globals it names; not of where it stands.

    The same function has the same digest in another session, on another line or in another notebook cell. Bytecode is
    part of it, so another version of Python gives another digest.
    """
    hasher = xxh3_128()
    _feed(function, hasher, set())
    return hasher.hexdigest()


def _feed(value: Any, hasher: xxh3_128, seen: set[int]) -> None:
    hasher.update(type(value).__qualname__.encode() + b"\0")
    if id(value) in seen:
        return
    if isinstance(value, types.CodeType | types.FunctionType | list | tuple | dict | partial):
        seen.add(id(value))
        for part in _parts_of(value):
            _feed(part, hasher, seen)
    elif isinstance(value, set | frozenset):
        hasher.update(repr(sorted(map(repr, value))).encode())
    elif isinstance(value, types.ModuleType | type):
        hasher.update(value.__name__.encode())
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        hasher.update(repr(value).encode("utf-8", "surrogatepass"))
    else:
        hasher.update(dill.dumps(value))


def _parts_of(value: Any) -> list[Any]:
    if isinstance(value, types.CodeType):
        return [value.co_code, list(value.co_names), list(value.co_varnames), list(value.co_consts)]
    if isinstance(value, types.FunctionType):
        names = value.__code__.co_names
        used = [[name, value.__globals__[name]] for name in names if name in value.__globals__]
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, cells, used]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    return [list(pair) for pair in value.items()] if isinstance(value, dict) else list(value)
