"""The report in a real browser: it opens, filters, expands, and complains about nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from lab.evidence import report
from tests.evidence import browser, run_on_disk
from tests.evidence.browser import Page

# Where the browser tests must not be skipped, set LAB_REQUIRE_BROWSER=1.
pytestmark = [
    pytest.mark.slow,  # a browser is no part of `make check`
    pytest.mark.skipif(
        browser.find() is None and not os.environ.get("LAB_REQUIRE_BROWSER"),
        reason="Chromium is not installed (apt-get install chromium)",
    ),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write(run_on_disk.make(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    path = browser.find()
    assert path is not None, "no Chromium here, and LAB_REQUIRE_BROWSER is set"
    with Page(path) as page:
        yield page


@pytest.fixture
def page(tab: Page, file: Path) -> Page:
    tab.complaints.clear()
    tab.requests.clear()
    tab.call("Page.navigate", url="about:blank")
    tab.open(file)
    return tab


VISIBLE_ROWS = "[...document.querySelectorAll('#matrix tbody tr')].filter(r => !r.hidden).length"
SHOWN = "document.getElementById('detail').hidden ? 'matrix' : location.hash"


def test_it_opens_without_a_complaint_or_a_request(page: Page, file: Path) -> None:
    assert page.run(VISIBLE_ROWS) == 2
    assert page.complaints == []
    asked = {url.partition("#")[0] for url in page.requests if not url.startswith("data:")}
    assert asked <= {file.as_uri(), "about:blank"}


def test_nothing_that_a_server_said_has_run(page: Page) -> None:
    for server, scenario in run_on_disk.CELLS:
        page.run(f"location.hash = '#{server}/{scenario}'")
        page.run("new Promise(done => setTimeout(done, 20))")
        assert page.run(SHOWN) == f"#{server}/{scenario}"
        page.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("document.title") != "owned"
    assert page.complaints == []


def test_the_filter_hides_what_does_not_match(page: Page) -> None:
    page.press("/")
    assert page.run("document.activeElement.id") == "filter"
    for key in "rename":
        page.press(key)
    assert page.run(VISIBLE_ROWS) == 1
    assert page.run("document.getElementById('count').textContent") == "1 of 2 scenarios"
    page.press("Escape")
    assert page.run(VISIBLE_ROWS) == 2


def test_a_verdicts_button_filters_too(page: Page) -> None:
    page.run("document.querySelector('[data-verdict=\"server crash\"]').click()")
    assert page.run(VISIBLE_ROWS) == 1
    page.run("document.querySelector('[data-verdict=\"server crash\"]').click()")
    assert page.run(VISIBLE_ROWS) == 2


def test_a_cell_opens_its_ladder_beside_the_references(page: Page) -> None:
    page.run("document.querySelector('a.cell[href=\"#samba/H1\"]').click()")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run(SHOWN) == "#samba/H1"
    text = page.run("document.querySelector('.pair .left.here').textContent")
    assert "SUCCESS" in text
    assert "ADDED file1" in text
    assert "CANCELLED" in page.run("document.querySelector('.pair .right.here').textContent")
    assert "MS-FSA 2.1.5.11.1" in page.run("document.querySelector('.first').textContent")
    hidden = "[...document.querySelectorAll('.pair .same')].filter(d => d.offsetParent).length"
    assert page.run(hidden) > 0
    page.run("document.getElementById('hide-same').click()")
    assert page.run(hidden) == 0


def test_trees_and_log_lines_open_with_the_keyboard(page: Page) -> None:
    page.run("location.hash = '#samba/H1'")
    page.run("new Promise(done => setTimeout(done, 50))")
    for key, css in (("t", "tree"), ("l", "lines")):
        still_open = f"[...document.querySelectorAll('details.{css}')].map(d => d.open)"
        assert page.run(still_open) == [False]
        page.press(key)
        assert page.run(still_open) == [True]
    assert "notifying.py:26" in page.run("document.querySelector('.left .tree').textContent")
    page.run("document.querySelector('.right .ms').click()")
    since = page.run("document.getElementById('since').textContent")
    assert since.startswith("lab logs samba --since-pdu ")
    assert "/samba/H1:" in since
    page.press("t")
    assert page.run("document.querySelector('details.tree').open") is False
    page.press("l")


def test_a_crash_is_open_before_all_other_evidence(page: Page) -> None:
    page.run("location.hash = '#ksmbd/C2'")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert "list_debug.c:29" in page.run("document.querySelector('.facts .error').textContent")
    assert "smb2_open" in page.run("document.querySelector('.facts').textContent")
    first = page.run("document.querySelector('#detail > details').textContent")
    assert first.startswith("crash.txt of ksmbd")
    assert page.run("document.querySelector('#detail > details').open") is True


def test_keys_go_from_cell_to_cell_and_back(page: Page) -> None:
    page.run("document.querySelector('a.cell[href=\"#py/H1\"]').focus()")
    page.run("document.activeElement.click()")
    page.run("new Promise(done => setTimeout(done, 50))")
    page.press("ArrowRight")
    assert page.run(SHOWN) == "#samba/H1"
    page.press("j")
    assert page.run(SHOWN) == "#samba/C2"
    page.press("k")
    page.press("ArrowLeft")
    assert page.run(SHOWN) == "#py/H1"
    page.press("Escape")
    assert page.run(SHOWN) == "matrix"
    assert page.run("document.activeElement.hash") == "#py/H1", "focus is where it was"


def test_every_link_of_every_cell_resolves(page: Page, file: Path) -> None:
    checked = 0
    for server, scenario in run_on_disk.CELLS:
        page.run(f"location.hash = '#{server}/{scenario}'")
        page.run("new Promise(done => setTimeout(done, 20))")
        links = page.run("[...document.querySelectorAll('#detail a')].map(a => a.href)")
        for link in links:
            parts = urlsplit(link)
            if parts.scheme == "data":
                size = page.run(
                    f"fetchless = atob('{link.partition(',')[2]}').length".replace(
                        "fetchless = ", ""
                    )
                )
                assert size > 100
            elif parts.scheme == "file" and Path(unquote(parts.path)) != file:
                assert Path(unquote(parts.path)).is_file(), link
            elif parts.scheme == "file" and "/" in parts.fragment:
                assert tuple(parts.fragment.split("/")) in run_on_disk.CELLS
            else:
                assert parts.scheme in ("file", "https"), link
            checked += 1
    assert checked > 30


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(page: Page, scheme: str) -> None:
    """Contrast of at least 4.5:1 for every piece of text, against what lies behind it."""
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    for fragment in ("", "#samba/H1"):
        page.run(f"location.hash = '{fragment}'")
        page.run("new Promise(done => setTimeout(done, 50))")
        assert page.run(WEAK_CONTRAST) == []


def test_the_theme_button_turns_it_over(page: Page) -> None:
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}]
    )
    before = page.run("getComputedStyle(document.body).backgroundColor")
    page.run("document.getElementById('theme').click()")
    assert page.run("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.parametrize("width", [390, 1366])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=768,
        deviceScaleFactor=1,
        mobile=False,
    )
    for fragment in ("", "#samba/H1"):
        page.run(f"location.hash = '{fragment}'")
        page.run("new Promise(done => setTimeout(done, 50))")
        assert page.run("document.documentElement.scrollWidth") <= width
    page.press("t")
    page.run("document.querySelector('details.tree pre').textContent += 'x'.repeat(500)")
    wide = "[...document.querySelectorAll('.what')].filter(w => w.scrollWidth > w.clientWidth + 1)"
    assert page.run(f"{wide}.map(w => w.textContent)") == [], "a long line scrolls in its own box"
    page.press("t")
    page.call("Emulation.clearDeviceMetricsOverride")


WEAK_CONTRAST = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.offsetParent) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) {
      weak.push(`${ratio.toFixed(2)} ${node.className} ${node.textContent.slice(0, 40)}`);
    }
  }
  return weak;
})()"""
