"""CompletionFilter in words: what people type, what an action can have matched."""

from __future__ import annotations

from lab.declaring import suggestion
from lab.errors import UsageError
from lab.scenarios.model import CompletionFilter

PREFIX = "FILE_NOTIFY_CHANGE_"

# FILE_NOTIFY_CHANGE_LAST_WRITE is "last-write".
WORDS: dict[str, int] = {
    str(bit.name).removeprefix(PREFIX).lower().replace("_", "-"): int(bit)
    for bit in CompletionFilter
}
ALL = sum(WORDS.values())
GROUPS: dict[str, int] = {
    "names": WORDS["file-name"] | WORDS["dir-name"],
    "times": WORDS["last-write"] | WORDS["last-access"] | WORDS["creation"],
    "streams": WORDS["stream-name"] | WORDS["stream-size"] | WORDS["stream-write"],
    "explorer": 0x15,  # what Windows Explorer asks for
    "all": ALL,
}
_NAME_ACTIONS = ("ADDED", "REMOVED", "RENAMED_OLD_NAME", "RENAMED_NEW_NAME")
_STREAM_ACTIONS = ("ADDED_STREAM", "REMOVED_STREAM", "MODIFIED_STREAM")


def parse(text: str) -> int:
    """The sum of words, groups and numbers between commas or bars; raises UsageError."""
    known = {**GROUPS, **WORDS}
    total = 0
    for word in text.replace("|", ",").split(","):
        plain = word.strip().lower().replace("_", "-").removeprefix("file-notify-change-")
        if not plain:
            continue
        total |= known[plain] if plain in known else _number(word.strip(), plain, list(known))
    if not total:
        raise UsageError(
            "--filter names nothing to watch for", f"words: {', '.join(known)}; or hex as 0x15"
        )
    return total


def _number(word: str, plain: str, known: list[str]) -> int:
    try:
        value = int(plain, 16) if plain.startswith("0x") else int(plain)
    except ValueError:
        raise UsageError(
            f"--filter: there is no {word!r}", suggestion(plain, known, "words (or hex as 0x15)")
        ) from None
    if not 0 < value <= 0xFFFFFFFF:
        raise UsageError(f"--filter: {word} does not fit CompletionFilter", "0x1 to 0xffffffff")
    return value


def in_words(value: int) -> list[str]:
    """Its bits by name; bits that the documents do not define as one number."""
    named = [word for word, bit in WORDS.items() if value & bit]
    return [*named, *([f"0x{value & ~ALL:x}"] if value & ~ALL else [])]


def classes(action: str, watched: int) -> list[str]:
    """Which of the watched classes can have caused an action.

    A record carries no filter: names are certain to be names; a modification may be of any class
    watched but the names. Watching for one class alone makes it certain.
    """
    streams = GROUPS["streams"]
    if action in _NAME_ACTIONS:
        candidates = GROUPS["names"]
    elif action in _STREAM_ACTIONS:
        candidates = streams
    else:
        candidates = ~(GROUPS["names"] | streams)
    # What was not asked for and came all the same keeps the server's word, not ours.
    return in_words(watched & candidates)
