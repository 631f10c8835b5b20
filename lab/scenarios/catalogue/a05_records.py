from lab.scenarios.model import ANY_NAME, FILE_NAME, equals
from lab.scenarios.script import Script, scenario

CLEF = "\N{MUSICAL SYMBOL G CLEF}.mid"  # two UTF-16 code units, four bytes, for its first character
LENGTHS = ("a", "ab", "abc", "abcd")  # 2 to 8 bytes: every second record needs padding
NAMES = (*LENGTHS, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", CLEF)


@scenario(
    "A5",
    title="Records: lengths, padding, characters",
    cites=["MS-FSCC 2.7.1", "MS-SMB2 2.2.36"],
    rests_on="MS-FSCC",
)
def record_encoding(s: Script) -> None:
    """Names of one to four letters, beyond ASCII and beyond the BMP, come in one reply, each record
    on a multiple of four bytes, without a terminating NUL; below the directory the separator is a
    backslash."""
    watcher = s.connect("watcher")
    other = s.connect("other")
    other.mkdir("sub")
    buffered = watcher.open_directory()
    fence = s.fence(watcher)
    armed = buffered.notify(FILE_NAME)
    armed.interim()
    s.settle()
    other.create_file("first")
    armed.final().records([("ADDED", "first")])
    for name in NAMES:
        other.create_file(name)
    fence.passed(by=other)
    reply = buffered.notify(FILE_NAME).final()
    reply.records([("ADDED", name) for name in NAMES], rule="MS-FSCC 2.7.1")
    reply.field("layout", equals("sound"), rule="MS-FSCC 2.7.1")
    offset = 0
    for index, name in enumerate(NAMES):
        size = 12 + len(name.encode("utf-16-le"))
        padded = size + -size % 4
        following = 0 if name == NAMES[-1] else padded
        where = f"body.records.{index}"
        reply.field(f"{where}.offset", equals(offset), rule="MS-FSCC 2.7.1: aligned on 4 bytes")
        reply.field(f"{where}.next_entry_offset", equals(following), rule="MS-FSCC 2.7.1")
        reply.field(f"{where}.file_name_length", equals(size - 12), rule="MS-FSCC 2.7.1: no NUL")
        offset += padded

    deep = watcher.open_directory().notify(ANY_NAME, tree=True)
    deep.interim()
    s.settle()
    other.create_file("sub\\" + CLEF)
    below = deep.final()
    below.records([("ADDED", "sub\\" + CLEF)], rule="MS-FSCC 2.7.1: relative, backslashes")
    below.field("layout", equals("sound"), rule="MS-FSCC 2.7.1")
