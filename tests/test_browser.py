"""The page in a real browser: headless Chromium opens it, sorts, filters, copies, changes theme, narrows and prints.

Chromium is found as CHROMIUM or under its usual names. Where it (or Playwright) is missing the tests are skipped, in CI
they fail.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from run_maker import HOSTILE, make_run

from scanner.report.html import write_html

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 300_000
LONG = [f"very-long-organisation-name-{n % 3}__an-even-longer-name-of-a-source-of-tasks-v{n}" for n in range(93)]
NASTY = ["</script><script>window.hacked = 1</script>__a", '" onmouseover="window.hacked = 1" x="__b', "x" * 10_000]


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with a profile of its own, and no network to speak of: pages are files."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright")
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        _missing("chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=path, headless=True, args=FLAGS
        )
        context.set_default_timeout(PATIENCE_MS)
        yield context
        context.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of four Runs: 93 sources, one, none, and names of an attacker; the first tells what changed, too."""
    folder = tmp_path_factory.mktemp("pages")
    runs = {
        "many": make_run(folder / "many", rows=3_000, sources=LONG),
        "one": make_run(folder / "one", rows=200, sources=1),
        "none": make_run(folder / "none", rows=0, sources=0),
        "hostile": make_run(folder / "hostile", rows=600, sources=[*NASTY, *HOSTILE, "z"], hostile=True, not_reached=7),
    }
    for name, run in runs.items():
        write_html(run, folder / f"{name}.html", against=runs["one"] if name == "many" else None)
    return {name: folder / f"{name}.html" for name in runs}


class Opened:
    """A page that was opened, with what it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.emulate_media(color_scheme=options.get("scheme", "light"))
        self.page.set_viewport_size({"width": options.get("width", 1280), "height": 900})
        # Before the first paint, so that every shift is seen.
        self.page.add_init_script(
            "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.shift += e.value))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        self.page.goto(path.as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def column(self, at: int) -> list[str]:
        """The cells of one column of the table of sources that are shown."""
        script = "at => [...document.querySelectorAll('#table tbody tr:not([hidden])')].map(r => r.cells[at].innerText)"
        found: list[str] = self.page.evaluate(script, at)
        return found


NAMES = ["many", "one", "none", "hostile"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_alone_and_fits(browser: Any, files: dict[str, Path], name: str, width: int, scheme: str) -> None:
    """No request but its own, no complaint, nothing shifts, nothing foreign runs, and no sideways scrolling."""
    with Opened(browser, files[name], width=width, scheme=scheme) as opened:
        assert opened.requests == [files[name].as_uri()]
        assert opened.complaints == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width
        assert opened.page.evaluate("window.shift") == 0
        assert opened.page.evaluate("window.hacked") is None


def test_it_sorts(browser: Any, files: dict[str, Path]) -> None:
    """A click on a head sorts by number or name, a second one turns the order, and the head says so."""
    with Opened(browser, files["many"]) as opened:
        tasks = [int(cell.replace(",", "")) for cell in opened.column(1)]
        assert len(tasks) == len(set(opened.column(0)))
        assert tasks == sorted(tasks, reverse=True)
        opened.page.get_by_role("button", name="Tasks").click()
        assert [int(cell.replace(",", "")) for cell in opened.column(1)] == sorted(tasks)
        opened.page.get_by_role("button", name="Harbor").click()
        rates = [float(cell.rstrip(" %").lstrip("<>")) for cell in opened.column(3)]
        assert rates == sorted(rates, reverse=True)
        opened.page.get_by_role("button", name="Source", exact=True).click()
        assert opened.page.locator("#table th").first.get_attribute("aria-sort") == "ascending"
        assert opened.page.locator("#table [aria-sort]").count() == 1
        versions = [int(cell.rpartition("-v")[2]) for cell in opened.column(0) if "name-0__" in cell]
        assert versions == sorted(versions)


def test_it_filters(browser: Any, files: dict[str, Path]) -> None:
    """Part of a name, in any case, keeps the rows that hold it, and says how many."""
    with Opened(browser, files["many"]) as opened:
        total = len(opened.column(0))
        opened.page.get_by_label("Filter").fill("NAME-1__")
        kept = opened.column(0)
        assert kept
        assert all("name-1__" in cell for cell in kept)
        assert opened.page.locator("#matched").inner_text() == f"{len(kept)} of {total} sources"
        opened.page.get_by_label("Filter").fill("no such source")
        assert opened.column(0) == []
        opened.page.get_by_label("Filter").fill("")
        assert len(opened.column(0)) == total


def test_the_keyboard_is_enough(browser: Any, files: dict[str, Path]) -> None:
    """Tab reaches the heads and links, Enter sorts and opens a source's own section, which takes the focus."""
    with Opened(browser, files["many"]) as opened:
        opened.page.get_by_label("Filter").focus()
        opened.page.keyboard.press("Tab")  # the table, which scrolls
        for _ in range(2):
            opened.page.keyboard.press("Tab")
        assert opened.page.evaluate("document.activeElement.innerText") == "Tasks"
        opened.page.keyboard.press("Enter")
        assert opened.page.get_by_role("columnheader", name="Tasks").get_attribute("aria-sort") == "ascending"
        opened.page.locator("#table tbody a").first.focus()
        wanted = opened.page.evaluate("document.activeElement.hash.slice(1)")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_function("id => document.activeElement.id === id", arg=wanted)
        assert opened.page.evaluate("document.activeElement.closest('details').open")


def test_the_theme_changes(browser: Any, files: dict[str, Path]) -> None:
    """It follows the system; the button turns it round, charts included, and names what it would do next."""
    with Opened(browser, files["one"], scheme="dark") as opened:
        ground = "getComputedStyle(document.body).backgroundColor"
        bar = "getComputedStyle(document.querySelector('#chart-layouts .wide path[fill=\"var(--accent)\"]')).fill"
        dark = opened.page.evaluate(ground), opened.page.evaluate(bar)
        assert opened.page.locator("#theme").inner_text() == "Light"
        opened.page.locator("#theme").click()
        light = opened.page.evaluate(ground), opened.page.evaluate(bar)
        assert opened.page.locator("#theme").inner_text() == "Dark"
        assert dark[0] != light[0]
        assert dark[1] != light[1]


CONTRAST = """() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const lum = (c) => rgb(c).slice(0, 3).map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const ground = (each) => {
    for (let up = each; up; up = up.parentElement) {
      const c = getComputedStyle(up).backgroundColor;
      if (rgb(c)[3] !== 0) return c;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !each.checkVisibility() || each.closest("script, style, title")) continue;
    const style = getComputedStyle(each), drawn = each.closest("svg") ? style.fill : style.color;
    const [a, b] = [lum(drawn), lum(ground(each))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) found.push([each.tagName, each.textContent.slice(0, 30), drawn, ground(each)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["many", "hostile", "none"])
def test_contrast_is_enough(browser: Any, files: dict[str, Path], name: str, scheme: str) -> None:
    """Every text has 4.5:1 against its ground (WCAG 2.2, 1.4.3 AA), in both themes."""
    with Opened(browser, files[name], scheme=scheme) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert opened.page.evaluate(CONTRAST) == []


def test_commands_copy(browser: Any, files: dict[str, Path]) -> None:
    """The button beside a command copies exactly that command."""
    with Opened(browser, files["many"]) as opened:
        browser.grant_permissions(["clipboard-read", "clipboard-write"])
        command = opened.page.locator(".command:visible").first
        shown = command.locator("code").inner_text()
        opened.page.evaluate("window.setTimeout = () => 0")  # its answer stays until somebody has read it
        assert shown.startswith("scanner show hf://datasets/open-thoughts/TaskTrove@")
        command.get_by_role("button").click()
        opened.page.wait_for_function("document.querySelector('.copy:not(:empty)') !== null")
        opened.page.get_by_role("button", name="Copied").wait_for()
        assert opened.page.evaluate("navigator.clipboard.readText()") == shown


def test_without_the_script_it_is_complete(browser: Any, files: dict[str, Path]) -> None:
    """What only the script makes work is not shown; table, charts and findings are."""
    with Opened(browser, files["many"]) as opened:
        opened.page.evaluate("document.documentElement.classList.remove('scripted')")
        assert not opened.page.locator("#theme").is_visible()
        assert opened.page.locator("#table").is_visible()


@pytest.mark.parametrize("name", NAMES)
def test_it_prints(browser: Any, files: dict[str, Path], name: str) -> None:
    """A PDF of a few pages, light, without what only works on a screen."""
    with Opened(browser, files[name], scheme="dark") as opened:
        pdf: bytes = opened.page.pdf(format="A4")
        assert pdf.startswith(b"%PDF-")
        assert 1 <= len(re.findall(rb"/Type /Page\b(?!s)", pdf)) <= 25
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert not opened.page.locator("nav").is_visible()
        assert not opened.page.locator("#theme").is_visible()
        assert opened.page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(28, 33, 40)"
