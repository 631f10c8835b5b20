"""`python3 -m lab.client`: job lines in on stdin, observation lines out on stdout, both JSON.

In:  {"job": "run", "steps": [...], "target": {...}}    {"job": "quit"}
     {"reply": {"returncode": 0, "stdout": "", "stderr": ""}}, the answer to an `ask`
Out: {"kind": "hello"} once; then for each job its observations, the last of kind "end";
     among them {"kind": "ask", "index": 3, "argv": [...]}, a step to be done on the server.
Every line of a job has `t`, seconds since the job began.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import Any

from lab.client.conn import ConnectFailed
from lab.client.interpreter import Housekeeper, Interpreter, Job
from lab.client.pump import HostGone, Lines, Pump
from lab.scenarios.model import language, step_from_json

FLUSH_AT = {"step", "ask", "end", "hello", "crash"}


class Main:
    """The process: reads jobs, runs them one after another, until told to quit."""

    def __init__(self) -> None:
        self._pump = Pump()
        self._lines = Lines(sys.stdin.fileno())
        self._pump.add(self._lines)
        self._housekeeper = Housekeeper(self._pump)
        self._began = time.monotonic()
        self._buffer: list[str] = []

    def run(self) -> None:
        python = sys.version.split()[0]
        self._observe("hello", pid=os.getpid(), python=python, language=language())
        while (job := self._next_line())["job"] == "run":
            self._run_job(job)

    def _run_job(self, plain: dict[str, Any]) -> None:
        self._began = time.monotonic()
        job = Job(**plain["target"])
        self._observe("begin", directory=job.directory, host=job.host, port=job.port)
        try:
            latency = self._housekeeper.make_directory(job)
            steps = tuple(step_from_json(step) for step in plain["steps"])
            Interpreter(job, self._pump, self._observe, self._ask, latency).run(steps)
        except ConnectFailed as error:
            self._observe("stopped", index=-1, why="connect", ref="", text=str(error))
        except HostGone:
            raise
        except Exception:
            self._observe("crash", index=-1, traceback=traceback.format_exc())
        self._observe("end")

    def _ask(self, index: int, argv: tuple[str, ...]) -> dict[str, Any]:
        self._observe("ask", index=index, argv=list(argv))
        reply: dict[str, Any] = self._next_line()["reply"]
        return reply

    def _next_line(self) -> dict[str, Any]:
        self._pump.until(lambda: bool(self._lines.ready) or self._lines.ended, None)
        if not self._lines.ready:
            raise HostGone
        line: dict[str, Any] = json.loads(self._lines.ready.popleft())
        return line

    def _observe(self, kind: str, **values: Any) -> None:
        line = {"kind": kind, "t": round(time.monotonic() - self._began, 6), **values}
        self._buffer.append(json.dumps(line))
        if kind in FLUSH_AT:
            sys.stdout.write("\n".join(self._buffer) + "\n")
            sys.stdout.flush()
            self._buffer.clear()


def main() -> int:
    try:
        Main().run()
    except (HostGone, BrokenPipeError, KeyboardInterrupt):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
