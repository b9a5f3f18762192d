"""The words and the sentence, test, shell and log templates that :mod:`scanner.corpus.prose` writes with.

Slots: ``{i}`` identifier, ``{n}`` noun, ``{v}`` verb, ``{a}`` adjective, ``{w}`` name, ``{f}`` file, ``{d}`` number,
``{s}`` digit, ``{t}`` sentence. Longer braces are the text's own.
"""

from __future__ import annotations

from typing import Final

NOUNS: Final = """
account adapter archive array batch bitmap block branch bucket buffer byte cache cell channel checksum chunk client
cluster column command commit config counter cursor dataset deadline decoder device digest directory document edge
encoder endpoint entry envelope event expression field filter folder frame function graph grid handler handshake hash
header heap histogram image index input instance interval invoice iterator journal key label lattice layer ledger
length limit line listener lock log manifest map mask matrix measurement message metric migration module monitor
namespace node number object offset order output package packet page parameter parser partition password path pattern
payload permission pipeline pixel pointer policy polygon port prefix process profile protocol query queue range ratio
record registry report request response result root route row rule sample scheduler schema score script segment
sequence server session shard signal size slice snapshot socket stack stamp state stream string subtree suffix summary
symbol table tensor thread threshold ticket timer token trace transaction tree tuple user value vector vertex view
weight widget window word worker
""".split()  # noqa: SIM905 - read and edited as text
VERBS: Final = """
aggregate align append apply assign balance batch build cache check clip collect combine compare compress compute
convert copy count decode delete detect drop encode expand export extract fetch filter flatten format group import
insert inspect invert join load lock map mark merge move normalize order pack parse patch plot print prune read
rebuild reduce register remove rename render replace reset resolve restore retry rotate sample scan select send
serialize shift shuffle sort split store stream strip sum swap trace transform trim truncate unpack update validate
verify walk wrap write
""".split()  # noqa: SIM905 - read and edited as text
ADJECTIVES: Final = """
active adjacent ascending atomic binary bounded broken circular compact complete concurrent consecutive constant
corrupt daily default dense descending directed distinct duplicate empty encoded even exact expired external final
finite fixed flat global hidden idle immutable incoming incremental inner integer internal invalid large last lazy
leading linear local longest lower malformed maximal merged minimal missing monotone mutable negative nested numeric
odd optional ordered outer overlapping partial pending positive previous primary private prime random raw recent
recursive relative remote reversed rolling shared short signed single sorted sparse stable stale static symmetric
temporary trailing unique unsigned upper valid visible weighted
""".split()  # noqa: SIM905 - read and edited as text
SYLLABLES: Final = """
al an ar ba bel bor ca cen cor da del dor el en er fa fen gal gor ha hel in ir ka kel kor la len lor ma mel mir na nel
nor o or pa pel qua ra ren ros sa sen sol ta tel tor u ul va ven vor wa wen xi ya yel za zen
""".split()  # noqa: SIM905 - read and edited as text
SENTENCES: Final = """\
Write a function `{i}` that takes the {a} {n} and returns its {n}.
The {n} must be {a}; if it is not, {v} the {n} and {v} every {a} {n} after it.
You are given a {n} in `/app/{f}` that holds {d} {a} {n}s of the {w} service.
Do not {v} the {n}, since {w} still needs the {a} {n} to {v} it.
When the {n} of {w} is larger than {d}, {v} it first.
Save the {a} result to `/app/{f}` as one {n} per line, in {a} order.
Each {n} has a {a} {n} and at most {d} {n}s.
Your solution should {v} a {a} {n} within {d} seconds on a {n} of {d} {n}s.
The tests {v} the {n} with a {a} {n} called {w} and expect `{i}({d}, {d})` to be {d}.
Assume that no {n} is {a}, but that any {n} may {v} to a {a} {n}.
If `{i}` fails, print a {a} message that names the {n} and exit with status {s}.
{w} and {w} both {v} the same {n}, so the {n} has to stay {a}.
Note that `{i}` is called by `{i}` for each {a} {n}.
For example, {v} `{f}` and you find the {n} `{w}-{d}` with {d} {n}s.
Only the {a} {n} counts: a {n} that {w} did not {v} is left as it is.
Keep the existing behaviour of `{i}` for every {n} other than the {a} one.
The {n} was moved from {w} to {w} in release {s}.{s}, which broke `{i}`.
Explain in one paragraph why the {a} {n} cannot {v} before its {n} does.
A {a} {n} consists of a {n}, a {n} and an optional {n}.
Rounding: {v} every {n} to {s} decimals, and treat {a} {n}s as {d}.
""".splitlines()
LOG_LINES: Final = """\
INFO {i}: {a} {n} {w} done in {d} ms
INFO {w}.{v}: {d} {n}s, {s} {a}
DEBUG {i}: {t}
WARNING {w}.{v}: {a} {n} after {d} retries
ERROR {i}: cannot {v} {n} {d}: {a} {n}
""".splitlines()
SHELL: Final = r"""
echo "{t}"
---
cat > /app/{f} <<'EOF'
{w} {d} {n}
{w} {d} {n}
EOF
---
sed -i 's/{n}_{n}={d}/{n}_{n}={d}/' /app/{f}
---
python3 -m {v} --{n} {d} --{a} {w} > /app/{f}
---
mkdir -p /app/{n}/{w} && cp /app/{f} /app/{n}/{w}/
---
for {n} in {w} {w} {w}; do
  {v} "${n}" --{n}={d} || exit {s}
done
---
grep -c '{a}_{n}' /app/{f} | awk '{print $1 + {d}}'
---
# {t}
"""[1:].split("---\n")
TESTS: Final = r'''
def test_{i}():
    """{t}"""
    result = {i}({d}, "{w}")
    assert result is not None, "no {n}"
    assert result.{n} == {d}, f"expected {d}, the {n} is {result.{n}}"
    assert result.is_{a}()
---
def test_{i}_writes_file(tmp_path):
    target = tmp_path / "{f}"
    target.write_text("{w} {d}\n{w} {d}\n", encoding="utf-8")
    rows = {i}(target, encoding="utf-8")
    assert target.exists(), f"{target} was not written"
    assert len(rows) == {s}
    assert rows[0].{n} == {d}
---
@pytest.mark.parametrize(
    ("{n}", "expected"),
    [
        pytest.param({d}, {d}, id="{a}"),
        pytest.param({d}, {d}, id="{a}"),
        pytest.param(0, {s}, id="zero"),
    ],
)
def test_{i}_each({n}, expected):
    assert {i}({n}) == expected, f"{n} gave something else than {expected}"
---
def test_{i}_raises():
    """{t}"""
    with pytest.raises(ValueError, match="{a} {n}"):
        {i}("{w}", {n}={d})
    with pytest.raises(TypeError, match="{a} {n}"):
        {i}(None, {n}={d})
---
class Test{w}:
    """{t}"""

    @pytest.fixture
    def {n}(self, tmp_path):
        return {w}({n}={d}, path=tmp_path / "{f}", names=["{w}", "{w}"])

    def test_{v}(self, {n}):
        assert {n}.{v}() == {d}
        assert {n}.{v}({a}=True) == {d}

    def test_{v}_{n}(self, {n}):
        assert {n}.{v}_{n}({d}) is None
---
def test_{i}_output():
    output = Path("/app/{f}").read_text(encoding="utf-8").splitlines()
    assert output, "/app/{f} is empty"
    assert output[{s}] == "{w},{d},{d}"
    assert all(line.count(",") == 2 for line in output), "a line has not three fields"
---
def {i}({n}, {v}=None):
    """{t}

    Returns:
        The {a} {n}.
    """
    if {n} is None or not {n}.{n}:
        return {d}
    {v} = {v} or {s}
    for index, item in enumerate({n}):
        if item.{n} > {d}:
            raise ValueError(f"{a} {n} at {index}: {item}")
    return {v} * {d}
'''[1:].split("---\n")
