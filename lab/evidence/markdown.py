"""A run's result as Markdown, to be pasted into an issue or a mail.

Reasons carry what servers said. They are shown as code, so that no mention, link or markup of
theirs takes effect where the text is pasted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.evidence import ladder_text
from lab.evidence.run_folder import Run

REASON_AT_MOST = 300
# One sign for each verdict, beside its word: colour is lost in a mail.
SIGNS: Mapping[str, str] = {
    "pass": "✔",
    "fail": "✘",
    "known deviation": "≈",
    "unexpected pass": "✘",
    "unsupported": "-",
    "timeout": "✘",
    "server crash": "✘",
    "client crash": "✘",
    "no evidence": "?",
    "not run": "·",
}


def summary(run: Run, reproduce: str = "lab run-scenarios {scenario} --server {server}") -> str:
    """The matrix, what is not as expected and why, and what ran."""
    matrix = run.matrix
    cells = {(cell["server"], cell["scenario"]): cell for cell in matrix["cells"]}
    partial = ", interrupted: partial" if matrix["partial"] else ""
    lines = [
        f"### SMB2 CHANGE_NOTIFY, {matrix['started']}{partial}",
        "",
        f"| scenario | {' | '.join(run.servers)} |",
        f"|---|{'---|' * len(run.servers)}",
    ]
    for scenario in matrix["scenarios"]:
        name = scenario["name"]
        words = [_word(cells[server, name]) for server in run.servers]
        lines.append(f"| **{name}** {plain(scenario['title'])} | {' | '.join(words)} |")
    totals = [_total(matrix["summary"][server]) for server in run.servers]
    lines += [f"| total | {' | '.join(totals)} |", ""]
    odd = [cell for cell in matrix["cells"] if not cell["as_expected"]]
    if odd:
        lines += ["**Not as expected**", ""]
        lines += [
            f"- **{cell['scenario']} on {cell['server']}**: {cell['verdict']}"
            f"{': ' + code(cell['reason']) if cell['reason'] else ''}. Reproduce: "
            f"`{reproduce.format(scenario=cell['scenario'], server=cell['server'])}`"
            for cell in odd
        ]
        lines.append("")
    if run.versions:
        lines += ["**Versions**", ""]
        lines += [f"- {node}: {_versions(told)}" for node, told in run.versions.items()]
        lines.append("")
    return "\n".join(lines)


def _word(cell: Mapping[str, Any]) -> str:
    word = f"{SIGNS.get(cell['verdict'], '')} {cell['verdict']}".strip()
    return word if cell["as_expected"] else f"**{word}**"


def _total(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _versions(told: Mapping[str, str]) -> str:
    return ", ".join(f"{plain(what)} {code(version)}" for what, version in told.items()) or "-"


def code(text: str) -> str:
    """As a code span that its own backticks don't end."""
    text = ladder_text.visible(str(text)).replace("|", "\\|")
    if len(text) > REASON_AT_MOST:
        text = text[:REASON_AT_MOST] + "…"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def plain(text: str) -> str:
    """Words of our own, with what Markdown would take for markup escaped."""
    return re.sub(r"([\\`*_{}\[\]<>|#@])", r"\\\1", ladder_text.visible(str(text)))
