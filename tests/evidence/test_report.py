"""The report's page as text: complete, self-contained, and proof against what servers say."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabFailed
from lab.evidence import markdown, report, run_folder
from lab.evidence.ladder_text import visible
from tests.evidence import run_on_disk
from tests.evidence.material import pcap_of
from tests.evidence.run_on_disk import CELLS, HOSTILE


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run_on_disk.make(tmp_path_factory.mktemp("run"))
    report.write(folder)
    return folder


class Tags(HTMLParser):
    """Every start tag with its attributes, and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.scripts[-1] == "":
            self.scripts[-1] = data


def _parsed(run_dir: Path) -> Tags:
    tags = Tags()
    tags.feed((run_dir / report.NAME).read_text())
    return tags


def _data(run_dir: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(_parsed(run_dir).scripts[0])
    return value


def test_the_page_needs_nothing_from_elsewhere(run_dir: Path) -> None:
    tags = _parsed(run_dir).tags
    assert not [tag for tag, attributes in tags if "src" in attributes]
    links = [attributes["href"] for _, attributes in tags if "href" in attributes]
    assert all(link and link[0] in "#d" for link in links), links
    assert not re.search(r"url\(|@import", (run_dir / report.NAME).read_text())


def test_what_servers_say_makes_no_markup(run_dir: Path) -> None:
    tags = _parsed(run_dir).tags
    assert "img" not in [tag for tag, _ in tags]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert len([tag for tag, _ in tags if tag == "script"]) == 2


def test_the_one_script_is_allowed_by_its_hash(run_dir: Path) -> None:
    page = (run_dir / report.NAME).read_text()
    policy = next(
        attributes["content"]
        for tag, attributes in _parsed(run_dir).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert page.count("<script>") == 1


def test_each_cell_links_to_its_evidence(run_dir: Path) -> None:
    hrefs = {attributes.get("href") for _, attributes in _parsed(run_dir).tags}
    assert {f"#{server}/{scenario}" for server, scenario in CELLS} <= hrefs


def test_a_cell_has_ladder_difference_capture_and_command(run_dir: Path) -> None:
    cell = _data(run_dir)["cells"]["samba/H1"]
    assert cell["diff"]["rule"]["section"] == "MS-FSA 2.1.5.11.1"
    assert "py SUCCESS, samba CANCELLED" in cell["diff"]["says"]
    assert gzip.decompress(b64decode(cell["capture"]["gz"])) == pcap_of("deaf-explorer")
    assert cell["reproduce"] == "lab run-scenarios H1 --server samba"
    assert "diff" not in _data(run_dir)["cells"]["py/H1"], "the reference stands alone"


def test_a_cell_without_a_capture_says_so(run_dir: Path) -> None:
    cell = _data(run_dir)["cells"]["ksmbd/C2"]
    assert cell["missing"] == "no capture was taken"
    assert cell["capture"] == {}


def test_links_that_are_none_of_the_web_are_left_out(run_dir: Path) -> None:
    assert _data(run_dir)["cells"]["samba/H1"]["link"] == ""
    assert _data(run_dir)["cells"]["ksmbd/H1"]["link"] == "https://example.org/x"


def test_every_file_that_is_linked_is_there(run_dir: Path) -> None:
    files = [file for cell in _data(run_dir)["cells"].values() for file in cell["files"]]
    assert files
    assert all((run_dir / file).is_file() for file in files)


def test_escape_sequences_are_shown_not_obeyed(run_dir: Path) -> None:
    page = (run_dir / report.NAME).read_text()
    for text in ("\x1b", "\u202e"):
        assert text not in "".join(
            json.dumps(cell, ensure_ascii=False) for cell in _data(run_dir)["cells"].values()
        )
    assert "\x1b" not in page


def test_captures_beyond_the_budget_are_linked(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "EMBEDDED_CAPTURES", 0)
    captures = [
        cell["capture"]
        for cell in report.data(run_folder.read(run_dir), "lab {scenario} {server}")[
            "cells"
        ].values()
    ]
    links = [capture["href"] for capture in captures if capture]
    assert len(links) == 5
    assert all((run_dir / link).is_file() for link in links)


def test_a_long_log_is_cut_at_a_line_and_says_so() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    tail = report.printable_tail(text, 200)
    first, *lines = tail.splitlines()
    assert first.startswith("… ")
    assert lines[-1] == "line 999"
    assert all(re.fullmatch(r"line \d+", line) for line in lines)
    assert report.printable_tail("short\n", 200) == "short\n"


def test_a_matrix_of_sixty_scenarios_fits_into_five_megabytes(run_dir: Path) -> None:
    """The folder's cells over and over: 180 of them, with logs of 40 KB each."""
    run = run_folder.read(run_dir)
    names = [f"X{number}" for number in range(60)]
    matrix = dict(run.matrix)
    matrix["scenarios"] = [dict(run.matrix["scenarios"][0], name=name) for name in names]
    matrix["cells"] = [
        dict(cell, scenario=name)
        for name in names
        for cell in run.matrix["cells"]
        if cell["scenario"] == "H1"
    ]
    logs = {"server.log": "x" * 79 + "\n"}
    logs["server.log"] *= 500
    cells = {}
    for server in run.servers:
        ladder = run.cells["py", "C2"].ladder
        folder = run.cells[server, "H1"]
        for name in names:
            cells[server, name] = run_folder.CellFolder(
                folder.path, ladder, "", folder.observations, logs, folder.capture
            )
    page = report.render(run_folder.Run(run.path, matrix, run.versions, cells))
    assert len(page.encode()) < report.MAX_BYTES


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(LabFailed, match="holds no run"):
        report.write(tmp_path)
    (tmp_path / "matrix.json").write_text('{"version": 99}')
    with pytest.raises(LabFailed, match="version 99"):
        report.write(tmp_path)


def test_half_a_line_of_observations_is_left_out(run_dir: Path) -> None:
    folder = run_folder.read_cell(run_dir / "samba" / "H1")
    assert [observed["kind"] for observed in folder.observations] == ["begin", "pdu"]


def test_a_damaged_ladder_is_a_reason_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "ladder.json").write_text("{")
    folder = run_folder.read_cell(tmp_path)
    assert folder.ladder is None
    assert "cannot be read" in folder.ladder_trouble


def test_markdown_has_the_matrix_and_what_is_not_as_expected(run_dir: Path) -> None:
    text = markdown.summary(run_folder.read(run_dir))
    assert (
        "| **C2** Rename in a directory | ≈ known deviation | **✘ server crash** | ✔ pass |" in text
    )
    assert "- **C2 on ksmbd**: server crash: `it ended: kernel BUG" in text
    assert "`lab run-scenarios H1 --server samba`" in text
    assert "smbd `4.22.8`" in text


def test_markdown_holds_hostile_text_inside_code(run_dir: Path) -> None:
    text = markdown.summary(run_folder.read(run_dir))
    (line,) = (line for line in text.splitlines() if line.startswith("- **H1 on samba**"))
    assert "\x1b" not in text
    span = markdown.code(f"n2 answered CANCELLED {HOSTILE}")
    assert span in line
    assert span.startswith("``")
    assert span.endswith("``")
    assert "``" not in span[2:-2]


def test_trees_and_log_lines_stand_under_their_packets(run_dir: Path) -> None:
    run = run_folder.read(run_dir)
    ladder = run.cells["py", "H1"].ladder
    assert ladder is not None
    at = run_on_disk.first_notify(ladder)
    cell = report.data(run, "")["cells"]["py/H1"]
    assert cell["traced"].endswith("2 events were lost.")
    said = f"  core.notifying.change_notify (notifying.py:26)  {visible(HOSTILE)}"
    heading = "core.chain.Chain.advance … core.notifying.change_notify, 2 calls"
    assert cell["trees"] == {at: [[heading, f"core.chain.Chain.advance\n{said}"]]}
    (where,) = cell["lines"]
    assert at <= where < len(ladder.rungs)
    assert visible(HOSTILE) in cell["lines"][where][0]
    assert "trees" not in report.data(run, "")["cells"]["samba/H1"]


def test_a_page_that_is_full_says_where_the_rest_is(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "TREE_BUDGET", 10)
    cell = report.data(run_folder.read(run_dir), "")["cells"]["py/H1"]
    assert cell["trees"] == {}
    assert "more in ladder-with-trace.txt" in cell["traced"]


def test_what_the_kernel_reported_stands_with_the_verdict(run_dir: Path) -> None:
    cells = report.data(run_folder.read(run_dir), "")["cells"]
    assert cells["ksmbd/C2"]["crashes"] == [
        {
            "title": visible(f"kernel BUG at lib/list_debug.c:29 {HOSTILE}"),
            "fingerprint": "bug: __list_add_valid_or_report < smb2_open",
            "known": "known: a list that is used after free, in 2 rounds",
            "link": "",
        }
    ]
    assert cells["py/C2"]["crashes"] == []
