"""A run's evidence on the real lab: captures, ladders, differences, the report, a bundle."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.client.interpreter import Interpreter, Job
from lab.client.pump import Pump
from lab.evidence import capture
from lab.evidence.column import CAPTURE
from lab.evidence.run_folder import OBSERVATIONS
from lab.scenarios.catalogue import load
from tests.e2e.harness import BACKENDS, Lab, docker
from tests.e2e.test_lab import opened_root
from tests.evidence import browser
from tests.verdicts.test_schema import complaints

SCENARIOS = ("A1", "C2", "E4", "H1")


@pytest.fixture(scope="module")
def matrix(lab: Lab) -> Any:
    """Four scenarios against three servers, with captures."""
    return lab.json("run-scenarios", "--all", *SCENARIOS)


@pytest.fixture(scope="module")
def run(matrix: Any) -> Path:
    return Path(matrix["folder"])


def client(lab: Lab) -> str:
    """The id of the client's container."""
    name = json.loads((lab.root / ".lab/state.json").read_text())["names"][-1]
    label = f"label=org.notify-lab.name={name}"
    return docker("ps", "-q", "--filter", label, "--filter", "label=org.notify-lab.node=client")[
        :12
    ]


def cells(run: Path) -> list[Path]:
    return [run / server / name for server in BACKENDS for name in SCENARIOS]


def test_every_cell_has_a_capture_that_is_believed(matrix: Any, run: Path) -> None:
    assert [c for c in matrix["cells"] if c["verdict"] == "no evidence"] == []
    for cell in cells(run):
        assert capture.judge((cell / CAPTURE).read_bytes(), 445) == capture.Trust(True), cell


def test_the_ladder_shows_what_the_client_observed(run: Path) -> None:
    """Two decoders that share no code: each notify response that came is on the ladder."""
    for cell in cells(run):
        ladder = json.loads((cell / "ladder.json").read_text())
        lines = [json.loads(x) for x in (cell / OBSERVATIONS).read_text().splitlines()]
        seen = [
            line["status"].removeprefix("STATUS_")
            for line in lines
            if line["kind"] == "pdu" and line["dir"] == "in" and line["command"] == "CHANGE_NOTIFY"
        ]
        drawn = [
            rung["status"]
            for rung in ladder["rungs"]
            if rung["command"] == "CHANGE_NOTIFY" and rung["stage"] in ("interim", "final")
        ]
        assert seen
        assert drawn == seen, cell
        assert (cell / "ladder.txt").read_text().splitlines()[0].endswith(cell.parent.name)
        assert (cell / "ladder.svg").read_text().startswith("<svg")


def test_the_result_keeps_to_the_published_schema(matrix: Any, run: Path) -> None:
    assert complaints(matrix) == []
    assert complaints(json.loads((run / "matrix.json").read_text())) == []


def test_the_first_divergent_pdu_is_named(lab: Lab, run: Path) -> None:
    said = lab("diff", "H1", "py", "ksmbd", "--run", run.name).stdout
    assert "first difference" in said
    assert "First difference: py parks CHANGE_NOTIFY n1, ksmbd answers" in said
    assert "Rule: MS-SMB2 3.3.5.19" in said
    plain = lab.json("diff", "H1", "py", "ksmbd", "--run", run.name)
    kind, left, right, _fields = plain["rows"][plain["first"]]
    assert kind != "same"
    assert (left, right) != (-1, -1)


def test_the_versions_of_what_ran_are_kept(run: Path) -> None:
    versions = json.loads((run / "versions.json").read_text())
    assert set(versions) == {*BACKENDS, "client", "host"}
    assert versions["samba"]["smbd"]
    assert versions["ksmbd"]["kernel"]
    assert versions["ksmbd"]["accelerator"] in ("kvm", "tcg")
    summary = (run / "summary.md").read_text()
    assert all(versions[node] and node in summary for node in versions)


def test_the_report_opens_in_a_browser(run: Path) -> None:
    path = browser.find()
    if path is None:
        assert not os.environ.get("LAB_REQUIRE_BROWSER"), "no Chromium, and LAB_REQUIRE_BROWSER"
        pytest.skip("Chromium is not installed")
    page = run / "report.html"
    assert page.stat().st_size < 5_000_000
    with browser.Page(path) as tab:
        tab.open(page)
        assert tab.run("document.querySelectorAll('#matrix tbody tr').length") == len(SCENARIOS)
        for server in BACKENDS:
            tab.run(f"location.hash = '#{server}/H1'")
            tab.run("new Promise(done => setTimeout(done, 50))")
            shown = tab.run("document.getElementById('detail').innerText")
            assert "CHANGE_NOTIFY" in shown
            assert f"lab run-scenarios H1 --server {server}" in shown
        assert tab.complaints == []
        asked = {url.partition("#")[0] for url in tab.requests if not url.startswith("data:")}
        assert asked <= {page.as_uri(), "about:blank"}


def test_a_bundle_has_everything_and_no_secret(lab: Lab, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "h1.tar.gz"
    lab("bundle", "H1", "--run", run.name, "--output", str(path))
    plain = gzip.decompress(path.read_bytes())
    private = (lab.root / ".lab/secrets/id_ed25519").read_text().splitlines()[1:-1]
    keys = [
        row["session_key"]
        for server in BACKENDS
        for row in json.loads((run / server / "H1/session-keys.json").read_text())
    ]
    assert private
    assert keys
    for password in lab.passwords:
        assert password.encode() not in plain
        assert password.encode("utf-16-le") not in plain
    assert not [line for line in private if line.encode() in plain]
    assert not [key for key in keys if key.encode() in plain or bytes.fromhex(key) in plain]
    with tarfile.open(path) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    for server in BACKENDS:
        assert {f"{server}/ladder.txt", f"{server}/capture.pcap"} <= names
    assert "ksmbd/against-py.txt" in names
    assert "README.txt" in names


def test_a_session_key_lies_beside_its_capture_alone(run: Path) -> None:
    rows = json.loads((run / "py/H1/session-keys.json").read_text())
    for row in rows:
        for path in run.rglob("*"):
            if path.is_file() and path.name != "session-keys.json":
                assert row["session_key"] not in path.read_text("latin-1"), path


def test_a_run_against_itself_has_no_stable_new_failure(lab: Lab, tmp_path: Path) -> None:
    base = str(tmp_path / "base.json")
    lab("run-scenarios", "--server", "py,samba", "A1", "C2")
    lab("baseline", "save", base)
    plain = lab.json(
        "run-scenarios", "--server", "py,samba", "A1", "C2", "--repeat", "2", "--baseline", base
    )
    assert plain["baseline"]["holds"]
    assert plain["baseline"]["compared"] == 4
    assert {cell["stability"]["rounds"] for cell in plain["cells"]} == {2}
    assert (Path(plain["folder"]) / "rounds/2/py/C2/capture.pcap").exists()
    assert (Path(plain["folder"]) / "py/C2/ladder.txt").exists()
    assert "No difference" in lab("diff", "latest", "latest").stdout


def test_an_interrupted_run_reports_what_is_done_and_leaves_no_tcpdump(lab: Lab) -> None:
    runs = lab.root / ".lab/runs"
    before = {path.name for path in runs.glob("*")}
    child = lab.popen("run-scenarios", "--server", "samba,py")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        new = [path for path in runs.glob("*") if path.name not in before]
        if new and len(list(new[0].glob("py/*"))) > 2:
            break
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)
    _out, err = child.communicate(timeout=60)
    assert "Traceback" not in err
    assert child.returncode in (1, 3), err
    (folder,) = new
    matrix = json.loads((folder / "matrix.json").read_text())
    assert matrix["partial"]
    assert "partial" in (folder / "report.html").read_text()
    assert list(folder.glob("py/*/ladder.txt"))
    assert "tcpdump" not in docker("top", client(lab), "-eo", "pid,comm")


def test_without_captures_a_verdict_stands_on_the_observations(lab: Lab) -> None:
    plain = lab.json("run-scenarios", "--server", "py", "C2", "--no-capture")
    assert plain["cells"][0]["verdict"] == "pass"
    folder = Path(plain["folder"])
    assert not (folder / "py/C2/capture.pcap").exists()
    assert (folder / "report.html").exists()


def shows_the_seeds_events(ladder: str, directory: str) -> None:
    """Enter the root, enter dir, touch dir/file1 on the server: what each of them looks like."""
    lines = [" ".join(line.split()) for line in ladder.splitlines()]
    root = directory or "."
    folder = rf"{directory}\dir" if directory else "dir"

    def at(*words: str, after: int = 0) -> int:
        found = [n for n, line in enumerate(lines) if n > after and all(w in line for w in words)]
        assert found, (words, lines)
        return found[0]

    # Entering a folder is one compound, CREATE and CHANGE_NOTIFY on the handle that it opens.
    enter_root = at("┌─▶ CREATE", f"{root}, OPEN")
    assert "└─▶ CHANGE_NOTIFY" in lines[enter_root + 1]
    assert f"FileId all FF = {root}, FILE_NAME | ATTRIBUTES" in lines[enter_root + 1]
    parked = at("n1 interim PENDING", after=enter_root)
    # The next folder's watch is there before the last one is cancelled.
    enter_dir = at("┌─▶ CREATE", f"{folder}, OPEN", after=parked)
    cancel = at("CANCEL", "n1 cancel by AsyncId", after=at("n2 interim PENDING", after=enter_dir))
    cancelled = at("n1 final CANCELLED", after=cancel)
    touched = at("n2 final SUCCESS", after=cancelled)
    assert "ADDED file1" in lines[touched + 1]


def test_the_seeds_three_events_are_on_the_ladder(lab: Lab) -> None:
    lab("switch", "samba")
    told = lab.json("capture", "--seed", "--play")
    assert told["believed"], told["reason"]
    shows_the_seeds_events(Path(told["servers"]["samba"]["ladder"]).read_text(), "{dir}")
    report = Path(told["report"]).read_text()
    assert "lab capture --seed --play" in report
    assert "lab run-scenarios H1 --server" not in report


def explore(lab: Lab, touch: Callable[[], None]) -> list[dict[str, Any]]:
    """What Explorer does in the seed, by another process and through the front: H1's requests in
    the root of the share. `touch` is called where the server is to touch dir/file1."""
    observed: list[dict[str, Any]] = []

    def ask(_: int, argv: tuple[str, ...]) -> dict[str, Any]:
        if argv[0] == "touch":
            touch()
        return {"returncode": 0, "stdout": "", "stderr": ""}

    (scenario,) = load().select(["H1"])
    job = Job("127.0.0.1", lab.port, "TEST", "tester", lab.password, "", 1.0)
    note = lambda kind, **values: observed.append({"kind": kind, **values})  # noqa: E731
    Interpreter(job, Pump(), note, ask).run(scenario.steps)
    return observed


def until(stream: Any, words: str) -> None:
    """Read lines until one has these words."""
    for line in stream:
        if words in line:
            return
    pytest.fail(f"it ended without saying {words!r}")


@pytest.mark.parametrize("server", ["samba", "py"])
def test_the_seed_led_by_hand_shows_what_the_seed_shows(lab: Lab, server: str) -> None:
    lab("switch", server)
    child = lab.popen("capture", "--seed", "--json", stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stderr is not None
    until(child.stderr, "Press Enter here")

    def press_enter() -> None:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        until(child.stderr, f"dir/file1 is touched on {server}")

    observed = explore(lab, press_enter)
    assert observed[-1]["kind"] != "stopped", observed[-1]
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    told = json.loads(out)
    assert told["believed"], told["reason"]
    shows_the_seeds_events(Path(told["servers"][server]["ladder"]).read_text(), "")
    again = lab.json("report", str(Path(told["report"]).parent))
    assert "lab capture" in Path(again["report"]).read_text()
    assert "lab run-scenarios by-hand" not in Path(again["report"]).read_text()


def test_what_is_done_by_hand_is_captured_until_ctrl_c_across_a_switch(lab: Lab) -> None:
    lab("switch", "py")
    child = lab.popen("capture", "--json")
    assert child.stderr is not None
    said = child.stderr.readline()
    assert "Capturing what goes through 127.0.0.1:" in said
    assert "now to py" in said
    with opened_root(lab):
        pass
    lab("switch", "samba")
    with opened_root(lab):
        pass
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    told = json.loads(out)
    assert told["believed"], told["reason"]
    assert list(told["servers"]) == ["py", "samba"]
    for files in told["servers"].values():
        assert "CREATE" in Path(files["ladder"]).read_text()
        assert capture.judge(Path(files["capture"]).read_bytes(), 445) == capture.Trust(True)
    assert docker("ps", "-aq", "--filter", "label=org.notify-lab.node=capture") == ""


def test_a_capture_of_nothing_says_how_to_connect(lab: Lab) -> None:
    said = lab("capture", "--seconds", "1", status=3).stderr
    assert "nobody spoke to" in said
    assert str(lab.port) in said
