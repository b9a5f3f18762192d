"""The page and the Markdown summary: complete, self-contained, and nothing of the data is markup."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_maker import HOSTILE, make_run

from scanner.errors import OutputError, UsageError
from scanner.faults import FAULTS
from scanner.report import facts, html, markdown
from scanner.report.markup import TEXT_CHARS, Markup, el, join, name, text, visible
from scanner.run import Run

NASTY = [
    "x" * 10_000 + "__long",
    "</script><script>alert(1)</script>__close",
    '"\' onmouseover=alert(2) x="__quotes',
    "\u202egnp.exe__bidi",
    "<!--<script>__comment",
    "${style} $$ {0} %s__template",
    "a\x00b\x1b]0;t\x07__control",
    "&lt;b&gt; &amp; ]]>__entities",
]
"""Names of sources that would break out of a page that forgot one escape."""


class Page(HTMLParser):
    """What a browser would make of the page: tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in {"meta", "input", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Run whose every name comes from an attacker."""
    return make_run(
        tmp_path_factory.mktemp("hostile"), rows=600, sources=[*NASTY, "last"], hostile=True, not_reached=7, skipped=3
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An ordinary Run of five sources."""
    return make_run(tmp_path_factory.mktemp("plain"), rows=600)


@pytest.fixture(scope="module")
def hostile_page(hostile: Run) -> str:
    """Its page."""
    return html.render(hostile)


@pytest.fixture(scope="module")
def plain_page(plain: Run) -> str:
    """The ordinary Run's page."""
    return html.render(plain)


@given(st.text(), st.text())
def test_text_stays_text(content: str, attribute: str) -> None:
    """Whatever an element or an attribute is given comes back as text, and only there."""
    page = Page(el("p", content, title=attribute))
    assert page.tags == ["p"]
    assert page.text == visible(content)
    assert page.attributes == [("p", "title", visible(attribute, len(attribute)))]
    assert page.text.isprintable()


def test_markup_is_not_escaped_twice() -> None:
    """Elements nest; None and False leave an attribute out, 0 does not."""
    assert join(el("b", "&"), None, ["x", 1]) == "<b>&amp;</b>x1"
    assert el("p", tabindex=0, hidden=True, title=None, open=False, class_="a", data_v=15) == (
        '<p tabindex="0" hidden class="a" data-v="15"></p>'
    )
    assert isinstance(text(Markup("<i>")), Markup)
    assert name("<i>") == "<bdi>&lt;i&gt;</bdi>"


def test_nothing_of_the_data_is_markup(hostile_page: str, plain_page: str) -> None:
    """The hostile page has no tag, no attribute and no address that the ordinary page does not have."""
    page, ordinary = Page(hostile_page), Page(plain_page)
    assert page.open == []
    assert set(page.tags) <= set(ordinary.tags) | {"ul"}
    assert page.tags.count("script") == page.tags.count("style") == page.tags.count("html") == 1
    keys = {key for _, key, _ in page.attributes}
    assert keys <= {key for _, key, _ in ordinary.attributes}
    assert not [key for key in keys if key.startswith("on")]
    addresses = [value for _, key, value in page.attributes if key in {"href", "src", "action", "xlink:href", "data"}]
    assert all(re.fullmatch(r"#[a-z0-9-]+", address) for address in addresses)


def test_a_scanned_hostile_corpus(tmp_path: Path) -> None:
    """The page of the hostile corpus, really scanned: whole, one script, nothing that acts, every row accounted for."""
    for arguments in (("make-corpus", "corpus", "--rows", "60", "--hostile"), ("scan", "corpus", "--engine", "serial")):
        out = ("--out", "run", "--format", "quiet") if arguments[0] == "scan" else ()
        subprocess.run(
            [sys.executable, "-m", "scanner", *arguments, *out],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=120,
        )
    run = Run(tmp_path / "run")
    shown = html.render(run)
    page = Page(shown)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert not [key for _, key, _ in page.attributes if key.startswith("on")]
    assert shown.replace("\n", "").isprintable()
    assert len(shown) < 3_000_000
    assert f"{run.account.planned:,} planned" in page.text
    assert markdown.render(run).replace("\n", "").isprintable()


def test_every_anchor_exists(hostile_page: str) -> None:
    """Each link leads to an element of the page, and ids are unique and never a name of the data."""
    page = Page(hostile_page)
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, key, value in page.attributes if key == "href"} <= set(ids)
    assert all(re.fullmatch(r"[a-z0-9-]+", each) for each in ids)


def test_names_are_seen_and_do_not_act(hostile_page: str) -> None:
    """No control, bidirectional or zero-width character reaches the page, and no text is as long as a hostile name."""
    assert all(char.isprintable() for char in hostile_page.replace("\n", ""))
    shown = Page(hostile_page).text
    for escaped in (r"\u202egnp.exe", r"\x1b]0;t\x07", "</script><script>alert(1)</script>", "${style} $$ {0} %s"):
        assert escaped in shown
    assert "x" * TEXT_CHARS not in hostile_page


def test_the_page_needs_nothing_else(hostile_page: str, plain_page: str) -> None:
    """No address outside the page, no import, and a policy that allows none."""
    for page in (hostile_page, plain_page):
        assert not {"link", "iframe", "img", "image", "object", "embed", "base", "form"} & set(Page(page).tags)
        style = page[page.index("<style>") : page.index("</style>")]
        assert "@import" not in style
        assert "url(" not in style
        policy = next(value for tag, key, value in Page(page).attributes if tag == "meta" and "default-src" in value)
        assert policy.startswith("default-src 'none'")
        assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_the_account_and_the_caveats_are_said(hostile: Run, hostile_page: str) -> None:
    """The head has every part of the account, why rows are missing, and that verdicts are static."""
    shown, account = Page(hostile_page).text, hostile.account
    assert (
        f"{account.planned} planned = {account.ok} ok + {account.degraded} degraded + {account.failed} failed" in shown
    )
    assert "3 skipped + 7 not reached" in shown
    assert "SIGKILL" in shown
    assert "Every verdict here is static" in shown
    assert all(sentence in shown for sentence in facts.caveats(hostile))


def test_findings_explain_and_show(plain: Run, plain_page: str) -> None:
    """Every fault kind that occurred is there with its count, meaning, advice and a command for each example."""
    shown = Page(plain_page).text
    for finding in facts.findings(plain):
        assert finding.rows == plain.stats.overall.faults[finding.kind]
        assert 1 <= len(finding.examples) <= 3
        about = FAULTS[finding.kind]  # type: ignore[index]
        assert f"{about.meaning} {about.advice}" in shown
        for place in finding.examples:
            assert place.command
            assert place.command in shown
    for finding in facts.reasons(plain):
        assert [place.source for place in finding.examples]


def test_the_sieve_only_narrows(plain: Run, hostile: Run) -> None:
    """Each step keeps a part of the one before, and the first is all rows."""
    for run in (plain, hostile):
        rows = [step.rows for step in facts.steps(run)]
        assert rows == sorted(rows, reverse=True)
        assert rows[0] == run.stats.overall.rows
        assert rows[1] == run.account.ok
        frame = run.records().collect()
        loads = [row for row in frame.iter_rows(named=True) if row["status"] == "ok" and row["harbor_loadable"]]
        tested = [row for row in loads if not any(f["kind"] == "empty-test-entry" for f in row["faults"])]
        assert rows[2:] == [len(loads), len(tested), len({row["content_id"] for row in tested})]


def test_the_table_has_every_source(plain: Run, plain_page: str) -> None:
    """A row and a section for each source, largest first."""
    body = plain_page[plain_page.index('id="table"') :]
    names = re.findall(r'<a href="#source-\d+"><bdi>([^<]+)</bdi>', body)
    assert sorted(names) == sorted(plain.stats.sources)
    rows = [plain.stats.sources[each].rows for each in names]
    assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize("sources", [0, 1, 93])
def test_any_number_of_sources(tmp_path: Path, sources: int) -> None:
    """None, one and 93 sources make a page under 3 MB; without rows it says so and keeps the account."""
    names = [f"very-long-organisation-{n}__an-even-longer-name-of-a-source-of-tasks-v{n}" for n in range(sources)]
    run = make_run(tmp_path / "run", rows=900 if sources else 0, sources=names)
    html.write_html(run, tmp_path / "new" / "report.html")
    page = (tmp_path / "new" / "report.html").read_text()
    assert len(page.encode()) < 3_000_000
    shown = Page(page).text
    assert ("This Run holds no rows" in shown) == (sources == 0)
    assert "planned" in shown
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["report.html"]


def test_what_changed_is_a_section_of_its_own(plain: Run, hostile: Run) -> None:
    """With an older Run the page also tells what changed, escaped like the rest."""
    page = Page(html.render(hostile, against=plain))
    assert "What changed" in page.text
    assert "rows added" in page.text
    assert page.tags.count("script") == 1
    assert page.open == []


def test_a_page_that_cannot_be_written(plain: Run, tmp_path: Path) -> None:
    """The error names the file and the option."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"report\.html cannot be written.*--html"):
        html.write_html(plain, tmp_path / "file" / "report.html")


def test_without_the_extra(plain: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing vl-convert is said with the command that installs it, and no file is left."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(UsageError, match=r"pip install 'tasktrove-scanner\[report\]'"):
        html.write_html(plain, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_markdown_tables_are_whole(hostile: Run, plain: Run, tmp_path: Path) -> None:
    """Each table has as many cells in every line, whatever the names hold, and no name opens a tag or a link."""
    for run in (hostile, plain, make_run(tmp_path, rows=0, sources=0)):
        shown = markdown.render(run)
        assert shown.endswith("\n")
        assert not re.search(r"<(?!br)", shown)
        assert not re.search(r"(?<!\\)\]\(", shown)
        assert all(char.isprintable() for char in shown.replace("\n", ""))
        cells = 0
        for line in shown.splitlines():
            if not line.startswith("|"):
                cells = 0
                continue
            found = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
            assert cells in {0, found}
            cells = found


@pytest.mark.parametrize(
    "hostile_name", [*HOSTILE, *NASTY, "a|b", "[x](http://evil)", "![i](x)", "`code`", "@everyone"]
)
def test_markdown_names_are_text(hostile_name: str) -> None:
    """Every character that Markdown would read is escaped."""
    assert not re.search(r"(?<!\\)[`*_\[\]|~@!]", markdown.name(hostile_name).replace("\\\\", ""))
