from lab.scenarios.fields import FILE_DIRECTORY_FILE, FILE_LIST_DIRECTORY
from lab.scenarios.model import ANY_NAME
from lab.scenarios.script import Notify, Script, scenario

FOLDERS = (("private", "700"), ("blind", "711"))  # may not be entered; may, but not listed


@scenario(
    "H4",
    title="Names that the user may not list are not told",
    cites=["MS-FSA 2.1.5.11", "MS-SMB2 3.3.5.19"],
    rests_on="Samba's `honor change notify privilege`; Windows asks for the right to traverse",
    provisional=True,
)
def not_listed(s: Script) -> None:
    """A user watches a tree in which another user has two directories: one closed to all others
    (mode 700), and one that others may pass through but not list (711). What is made, renamed and
    removed there is not told to the first; its owner, who watches the same tree, hears of it."""
    owner = s.connect("owner")
    stranger = s.connect("stranger", user="second")
    for folder, _ in FOLDERS:
        owner.mkdir(folder)
    owner.mkdir("public")
    for folder, mode in FOLDERS:
        s.on_server.chmod(mode, folder)
    s.on_server.chmod("755", "public")
    for number, (folder, _) in enumerate(FOLDERS):
        stranger.attempt(
            stranger.create_request(
                folder, f"none{number}", access=FILE_LIST_DIRECTORY, options=FILE_DIRECTORY_FILE
            ),
            "STATUS_ACCESS_DENIED",
            note=f"open {folder} to list it, which is not allowed",
        )
    of_owner = owner.open_directory()
    heard: Notify = of_owner.notify(ANY_NAME, tree=True)
    heard.interim()
    of_stranger = stranger.open_directory()
    parked = of_stranger.notify(ANY_NAME, tree=True)
    parked.interim()
    s.settle()
    for folder, mode in FOLDERS:
        with s.point(f"mode {mode}"):
            owner.create_file(f"{folder}\\secret")
            heard.final().records([("ADDED", f"{folder}\\secret")], rule="its owner may know")
            heard = of_owner.notify(ANY_NAME, tree=True)
            owner.rename(f"{folder}\\secret", f"{folder}\\renamed")
            owner.delete(f"{folder}\\renamed")
            s.still(parked, 0.2, rule="names in a directory that this user may not list")
            rest = of_owner.collect(ANY_NAME, tree=True, first=heard)
            rest.records(
                [
                    ("RENAMED_OLD_NAME", f"{folder}\\secret"),
                    ("RENAMED_NEW_NAME", f"{folder}\\renamed"),
                    ("REMOVED", f"{folder}\\renamed"),
                ],
                rule="its owner may know",
            )
            heard = rest
    owner.create_file("public\\sentinel")
    parked.final().records([("ADDED", "public\\sentinel")], rule="nothing but the sentinel")
    heard.final().records([("ADDED", "public\\sentinel")], rule="its owner may know")
