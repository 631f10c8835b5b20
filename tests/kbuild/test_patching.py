"""Patches: from git and from diff, for either kind of tree, and the words for those that fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import patching
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("patch"), reason="needs patch(1)")

SERVER = "fs/smb/server"
FILE = f"{SERVER}/smb2pdu.c"
LINES = [f"line {number}" for number in range(1, 41)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / SERVER).mkdir(parents=True)
    (tmp_path / FILE).write_text("\n".join(LINES) + "\n")
    return tmp_path


def diff(path: str, *, line: int = 20, old: str = "", git: bool = True) -> str:
    """A patch that changes one line, as git or diff -u writes it."""
    context = [f" line {line - 1}", f"-{old or f'line {line}'}", "+changed", f" line {line + 1}"]
    head = f"diff --git a/{path} b/{path}\nindex 1111111..2222222 100644\n" if git else ""
    body = "\n".join([f"@@ -{line - 1},3 +{line - 1},3 @@", *context])
    return f"{head}--- a/{path}\n+++ b/{path}\n{body}\n"


def apply(root: Path, text: str, server: str = SERVER) -> patching.Applied:
    return patching.apply("0001-x.patch", text, root, server)


@pytest.mark.parametrize("git", [True, False])
def test_a_patch_is_applied(root: Path, git: bool) -> None:
    mail = (
        f"From 1\nSubject: x\n\nwords\n---\n smb2pdu.c | 2 +-\n\n{diff(FILE, git=git)}-- \n2.50\n"
    )
    assert apply(root, mail).files == (FILE,)
    assert (root / FILE).read_text().splitlines()[19] == "changed"


def test_a_patch_of_the_kernel_fits_an_out_of_tree_ksmbd(tmp_path: Path) -> None:
    (tmp_path / "smb2pdu.c").write_text("\n".join(LINES) + "\n")
    assert apply(tmp_path, diff(FILE), ".").files == ("smb2pdu.c",)
    assert "changed" in (tmp_path / "smb2pdu.c").read_text()


def test_a_patch_of_an_out_of_tree_ksmbd_fits_the_kernel(root: Path) -> None:
    assert apply(root, diff("smb2pdu.c")).files == (FILE,)


def test_a_context_that_moved_is_forgiven_and_told(root: Path) -> None:
    (root / FILE).write_text("\n".join(["new"] * 3 + LINES).replace("line 19", "other 19") + "\n")
    applied = apply(root, diff(FILE))
    assert "changed" in (root / FILE).read_text()
    assert any("succeeded at" in note for note in applied.notes)


def test_what_lies_outside_of_ksmbd_is_left_out_and_named(root: Path) -> None:
    applied = apply(root, diff("Documentation/x.rst") + diff(FILE))
    assert applied.files == (FILE,)
    assert applied.notes == (
        "0001-x.patch: left out Documentation/x.rst, no part of ksmbd's build",
    )


def test_a_new_file_is_made(root: Path) -> None:
    text = (
        f"diff --git a/{SERVER}/notify.c b/{SERVER}/notify.c\nnew file mode 100644\n"
        f"--- /dev/null\n+++ b/{SERVER}/notify.c\n@@ -0,0 +1 @@\n+int x;\n"
    )
    assert apply(root, text).files == (f"{SERVER}/notify.c",)
    assert (root / SERVER / "notify.c").read_text() == "int x;\n"


@pytest.mark.parametrize("path", ["notify.c", f"{SERVER}/notify.c"])
@pytest.mark.parametrize("git", [True, False])
def test_a_new_file_is_made_in_an_out_of_tree_ksmbd(tmp_path: Path, path: str, git: bool) -> None:
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n" if git else ""
    text = f"{head}--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+int x;\n"
    assert apply(tmp_path, text, ".").files == ("notify.c",)
    assert (tmp_path / "notify.c").read_text() == "int x;\n"


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A kernel tree as it is unpacked, and one to edit beside it."""
    for name in ("linux-6.12.orig", "linux-6.12"):
        (tmp_path / name / SERVER).mkdir(parents=True)
        (tmp_path / name / FILE).write_text("\n".join(LINES) + "\n")
    return tmp_path / "linux-6.12.orig", tmp_path / "linux-6.12"


def difference(before: Path, after: Path, *, whole: bool = False) -> str:
    argv = ["diff", "-urN", *(str(path) if whole else path.name for path in (before, after))]
    return subprocess.run(argv, cwd=before.parent, capture_output=True, text=True).stdout


@pytest.mark.parametrize("whole", [False, True])
def test_diff_of_two_unpacked_trees(trees: tuple[Path, Path], whole: bool) -> None:
    before, after = trees
    edit(after / FILE, "line 7", "seven")
    (after / SERVER / "notify.c").write_text("int x;\n")
    there = difference(before, after, whole=whole)
    back = difference(after, before, whole=whole)
    apply(before, there)
    assert difference(before, after) == ""
    assert set(apply(before, back).files) == {FILE, f"{SERVER}/notify.c"}
    assert (before / FILE).read_text().splitlines() == LINES
    assert not (before / SERVER / "notify.c").exists()


@pytest.mark.parametrize("option", ["diff.mnemonicPrefix", "diff.noprefix"])
@pytest.mark.parametrize("folder", [SERVER, "mgmt"])
def test_whatever_prefix_git_writes(history: Path, option: str, folder: str) -> None:
    server = SERVER if folder == SERVER else "."
    (history / folder).mkdir(exist_ok=True)
    (history / folder / "session.c").write_text("int x;\n")
    commit(history)
    edit(history / folder / "session.c", "x", "y")
    text = git(history, "-c", f"{option}=true", "diff")
    git(history, "checkout", "-q", ".")
    assert apply(history, text, server).files == (f"{folder}/session.c",)
    assert (history / folder / "session.c").read_text() == "int y;\n"


@pytest.mark.parametrize(
    ("path", "server", "here"),
    [
        (f"{SERVER}/notify/n.c", SERVER, f"{SERVER}/notify/n.c"),
        ("fs/smb/common/notify/n.h", SERVER, "fs/smb/common/notify/n.h"),
        (f"{SERVER}/notify/n.c", "fs/ksmbd", "fs/ksmbd/notify/n.c"),
        (f"{SERVER}/notify/n.c", ".", "notify/n.c"),
        ("notify/n.c", ".", "notify/n.c"),
    ],
)
def test_a_new_file_may_be_in_a_new_folder(
    history: Path, tmp_path: Path, path: str, server: str, here: str
) -> None:
    (history / path).parent.mkdir(parents=True)
    (history / path).write_text("int x;\n")
    commit(history)
    target = tmp_path / "target"
    (target / server).mkdir(parents=True)
    assert apply(target, series(history, 1), server).files == (here,)
    assert (target / here).read_text() == "int x;\n"


@pytest.mark.parametrize(("server", "here"), [(SERVER, FILE), (".", "smb2pdu.c")])
def test_the_kernels_makefile_is_not_ksmbds(tmp_path: Path, server: str, here: str) -> None:
    (tmp_path / server).mkdir(parents=True, exist_ok=True)
    (tmp_path / here).write_text("\n".join(LINES) + "\n")
    (tmp_path / server / "Makefile").write_text("ksmbd-y := smb2pdu.o\n")
    applied = apply(tmp_path, diff("Makefile") + diff(FILE), server)
    assert applied.files == (here,)
    assert applied.notes == ("0001-x.patch: left out Makefile, no part of ksmbd's build",)


def test_an_out_of_tree_ksmbds_makefile_is_the_one_of_its_folder(root: Path) -> None:
    (root / SERVER / "Makefile").write_text("\n".join(LINES) + "\n")
    assert apply(root, diff("Makefile") + diff("smb2pdu.c")).files == (f"{SERVER}/Makefile", FILE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (diff(FILE, old="something else"), r"smb2pdu\.c: hunk 1 \(line 19\) of 1 does not apply"),
        (diff(FILE, old="something else"), r"(?s)@@ -19,3 \+19,3 @@.*-something else"),
        ("just words\n", "there is no diff in it"),
        (diff(f"{SERVER}/vfs.c"), r"fs/smb/server/vfs\.c: the source has no such file"),
        (
            f"diff --git a/{FILE} b/{FILE}\nindex 1..2 100644\nBinary files a/x and b/x differ\n",
            r"smb2pdu\.c: neither a binary file nor",
        ),
        (diff("Makefile"), "it changes no file of ksmbd"),
        (diff("Documentation/x.rst"), "it changes no file of ksmbd"),
    ],
)
def test_a_patch_that_does_not_apply_is_named_with_its_hunk(
    root: Path, text: str, words: str
) -> None:
    with pytest.raises(patching.DoesNotApply, match=words):
        apply(root, text)


def test_a_patch_that_is_there_already_is_said_to_be(root: Path) -> None:
    apply(root, diff(FILE))
    with pytest.raises(patching.DoesNotApply, match="it seems to be applied already"):
        apply(root, diff(FILE))


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.quotePath=false")
    argv = ["git", *who, *words]
    return subprocess.run(argv, cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "-qm", "A change")


@pytest.fixture
def history(root: Path) -> Path:
    """The tree as a git repository with one commit."""
    git(root, "init", "-q")
    commit(root)
    return root


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def series(root: Path, count: int, *options: str) -> str:
    """The last commits as one file of mails; the tree is put back to before them."""
    text = git(root, "format-patch", f"-{count}", "--stdout", *options)
    git(root, "checkout", "-q", f"HEAD~{count}")
    return text


def test_a_series_of_git_format_patch(history: Path) -> None:
    edit(history / FILE, "line 7", "seven")
    commit(history)
    apply(history, series(history, 1))
    assert "seven" in (history / FILE).read_text()


def test_each_mail_of_a_file_is_applied_to_its_last_hunk(history: Path) -> None:
    for old, new in (("line 7", "seven"), ("line 20", "twenty"), ("line 33\n", "- \n")):
        edit(history / FILE, old, new)
        commit(history)
    edit(history / FILE, "- \n", "")  # a line of the diff that looks like a signature
    commit(history)
    whole = (history / FILE).read_text()
    assert apply(history, series(history, 4)).files == (FILE,)
    assert (history / FILE).read_text() == whole


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (diff(FILE).partition("@@")[0], r"smb2pdu\.c: no change follows its name"),
        (diff(FILE).partition("+changed")[0], r"smb2pdu\.c: hunk 1 has not as many lines"),
        ("@@" + diff(FILE).partition("@@")[2], r"a hunk without the name of its file"),
    ],
)
def test_a_patch_that_is_cut_off_is_refused(root: Path, cut: str, words: str) -> None:
    end = "-- \n2.50\n"
    with pytest.raises(patching.DoesNotApply, match=words):
        apply(root, diff(FILE, line=5) + end + cut + end)


def test_a_hunk_that_is_longer_than_it_says_is_refused(root: Path) -> None:
    with pytest.raises(patching.DoesNotApply, match=r"smb2pdu\.c: hunk 1 has not as many lines"):
        apply(root, diff(FILE) + "+more\n")


def test_bytes_that_are_no_utf8_go_through(root: Path) -> None:
    apply(root, diff(FILE).replace("changed", "\udce4nderung"))
    assert b"\n\xe4nderung\n" in (root / FILE).read_bytes()
    with pytest.raises(patching.DoesNotApply, match="hunk 1") as refused:
        apply(root, diff(FILE, line=30, old="\udce4nderes"))
    assert str(refused.value).encode()


OTHER = f"{SERVER}/vfs.c"
NEW = f"{SERVER}/notify/watch.c"


def content(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.c")}


@pytest.mark.parametrize("server", [SERVER, "."])
def test_renames_and_copies_with_edits(
    history: Path, tmp_path_factory: pytest.TempPathFactory, server: str
) -> None:
    (history / OTHER).write_text("\n".join(f"other {number}" for number in range(40)) + "\n")
    commit(history)
    target = tmp_path_factory.mktemp("target")
    shutil.copytree(history / SERVER, target / server, dirs_exist_ok=True)
    edit(history / FILE, "line 7", "seven")
    commit(history)
    (history / NEW).parent.mkdir()
    (history / FILE).rename(history / NEW)
    edit(history / NEW, "line 20", "twenty")
    shutil.copy(history / OTHER, history / SERVER / "copy.c")
    edit(history / SERVER / "copy.c", "other 9", "nine")
    edit(history / OTHER, "other 9", "changed")
    commit(history)
    whole = content(history / SERVER)
    text = series(history, 2, "-M", "-C")
    assert text.count("\nrename from ") == text.count("\ncopy from ") == 1
    apply(target, text, server)
    assert content(target / server) == whole


def moved(history: Path, old: str, new: str, option: str) -> str:
    """A patch that renames or copies, and edits, a file."""
    (history / old).parent.mkdir(parents=True, exist_ok=True)
    (history / old).write_text("\n".join(f"other {number}" for number in range(40)) + "\n")
    commit(history)
    (history / new).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(history / old, history / new)
    edit(history / new, "other 9", "nine")
    if option == "-M":
        (history / old).unlink()
    edit(history / FILE, "line 7", "seven")
    commit(history)
    return series(history, 1, option, *(["--find-copies-harder"] if option == "-C" else []))


@pytest.mark.parametrize("option", ["-M", "-C"])
def test_a_file_that_is_made_from_one_outside_of_ksmbd_is_refused(
    history: Path, option: str
) -> None:
    text = moved(history, "fs/smb/client/vfs.c", OTHER, option)
    words = rf"{OTHER}: it is made from fs/smb/client/vfs\.c.*git format-patch --no-renames"
    shutil.rmtree(history / "fs/smb/client")
    with pytest.raises(patching.DoesNotApply, match=words):
        apply(history, text)


def test_a_copy_to_outside_of_ksmbd_is_left_out(history: Path) -> None:
    applied = apply(history, moved(history, OTHER, "lib/vfs.c", "-C"))
    assert applied.files == (FILE,)
    assert applied.notes == ("0001-x.patch: left out lib/vfs.c, no part of ksmbd's build",)


def test_a_rename_is_refused_where_it_does_not_fit_exactly(history: Path) -> None:
    text = moved(history, OTHER, NEW, "-M")
    edit(history / OTHER, "other 8\n", "another 8\n")
    words = rf"{NEW}: it is made from {OTHER}.*patch failed: {OTHER}.*--no-renames"
    with pytest.raises(patching.DoesNotApply, match=words):
        apply(history, text)


def test_a_new_file_that_is_there_is_named_with_the_cause(history: Path) -> None:
    (history / OTHER).write_text("int x;\n")
    commit(history)
    text = series(history, 1)
    (history / OTHER).write_text("int y;\n")
    words = rf"{OTHER}: the patch makes this file, but the source has it"
    with pytest.raises(patching.DoesNotApply, match=words):
        apply(history, text)


@pytest.mark.parametrize("change", ["line 7", "line 40\n"])
def test_a_deleted_file_that_was_changed_is_named_with_the_cause(
    history: Path, change: str
) -> None:
    (history / FILE).unlink()
    commit(history)
    text = series(history, 1)
    edit(history / FILE, change, f"{change}0\n")
    words = rf"{FILE}: the patch deletes this file, but the source's is not the one that it knows"
    with pytest.raises(patching.DoesNotApply, match=words):
        apply(history, text)


def test_modes_and_empty_files_come_with_a_context_that_moved(history: Path) -> None:
    (history / OTHER).write_text("x\n")
    commit(history)
    (history / OTHER).chmod(0o755)
    (history / SERVER / "empty.c").touch()
    edit(history / FILE, "line 20", "twenty")
    commit(history)
    text = series(history, 1)
    edit(history / FILE, "line 17", "other 17")
    assert len(apply(history, text).files) == 3
    assert (history / SERVER / "empty.c").exists()
    assert (history / OTHER).stat().st_mode & 0o111
