"""Settings: what is accepted, and how each wrong value is named."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab import settings
from lab.errors import UsageError
from lab.paths import default_name

ROOT = Path(__file__).resolve().parents[2]

# One value for each setting that its check must refuse, and one that it must accept.
VALUES: dict[tuple[str, str], tuple[Any, Any]] = {
    ("", "name"): ("Has Space", "lab-2"),
    ("share", "name"): ("a/b", "data_1"),
    ("share", "user"): ("root", "alice"),
    ("front", "bind"): ("localhost", "0.0.0.0"),
    ("front", "port"): (65536, 445),
    ("front", "address"): ("a b", "lab.example.org"),
    ("front", "backend"): ("smbd", "py"),
    ("debian", "suite"): ("Trixie", "sid"),
    ("debian", "mirror"): ("ftp://x/debian", "https://mirror.example.org/debian"),
    ("ksmbd", "kernel"): ("../etc", "rt-amd64"),
    ("ksmbd", "memory"): (64, 512),
    ("ksmbd", "accelerator"): ("hvf", "tcg"),
    ("ksmbd", "debug"): ("smb,vfs", "smb vfs"),
    ("ksmbd", "tools_source"): ("git:x", "git:https://example.org/tools.git@v1"),
    ("samba", "source"): ("debian-sauce", "/home/me/samba"),
    ("samba", "patches"): ([""], ["a.patch", "my dir/b.patch"]),
    ("samba", "configure"): (["prefix"], ["--with-profiling-data"]),
    ("samba", "log_level"): ("high", "1 notify:10 smb2:5"),
    ("samba", "kernel_change_notify"): ("maybe", False),
    ("py", "log_level"): ("loud", "debug"),
    ("engine", "install"): ("always", "never"),
    ("build", "ca_certificates"): ("a\nb", "/etc/ssl/extra.pem"),
}
DECLARED = {(declared.section, declared.key): declared for declared in settings.DECLARED}


def document(key: tuple[str, str], value: Any) -> dict[str, Any]:
    section, name = key
    return {section: {name: value}} if section else {name: value}


def as_variable(value: Any) -> str:
    return shlex.join(value) if isinstance(value, list) else str(value)


def as_read(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def test_every_setting_has_values_in_these_tests() -> None:
    assert VALUES.keys() == DECLARED.keys()


def test_every_default_passes_its_own_check() -> None:
    for declared in settings.DECLARED:
        assert type(declared.default) is declared.kind, declared.where
        assert declared.check.accepts(declared.default), declared.where


def test_every_variable_is_named_once_and_as_a_lab_variable() -> None:
    names = [declared.env for declared in settings.DECLARED]
    assert len(set(names)) == len(names)
    assert all(name.startswith("LAB_") for name in names)


@pytest.mark.parametrize("key", VALUES, ids="/".join)
def test_a_bad_value_names_file_key_value_and_what_is_allowed(key: tuple[str, str]) -> None:
    bad, _ = VALUES[key]
    with pytest.raises(UsageError) as caught:
        settings.from_document(document(key, bad), "/x/lab.toml")
    declared = DECLARED[key]
    assert caught.value.message.startswith(f"/x/lab.toml: {declared.where} = ")
    assert declared.check.allowed in caught.value.remedy


@pytest.mark.parametrize("key", VALUES, ids="/".join)
def test_a_good_value_is_taken_from_the_file(key: tuple[str, str], tmp_path: Path) -> None:
    _, good = VALUES[key]
    section, name = key
    text = f"{name} = {good!r}" if not isinstance(good, bool) else f"{name} = {str(good).lower()}"
    (tmp_path / "lab.toml").write_text(f"[{section}]\n{text}\n" if section else text)
    loaded = settings.load(tmp_path, {})
    assert getattr(getattr(loaded, section) if section else loaded, name) == as_read(good)


@pytest.mark.parametrize("key", VALUES, ids="/".join)
def test_the_variable_wins_over_the_file_and_is_checked_too(
    key: tuple[str, str], tmp_path: Path
) -> None:
    bad, good = VALUES[key]
    section, name = key
    variable = DECLARED[key].env
    (tmp_path / "lab.toml").write_text("")
    loaded = settings.load(tmp_path, {variable: as_variable(good)})
    assert getattr(getattr(loaded, section) if section else loaded, name) == as_read(good)
    with pytest.raises(UsageError, match=f"^environment variable {variable}: "):
        settings.load(tmp_path, {variable: as_variable(bad)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("front", "port"), True),
        (("front", "port"), "1445"),
        (("samba", "log_level"), 1),
        (("samba", "patches"), "one.patch"),
        (("samba", "patches"), [1]),
    ],
)
def test_a_value_of_another_type_is_refused(key: tuple[str, str], value: Any) -> None:
    with pytest.raises(UsageError, match="is not allowed"):
        settings.from_document(document(key, value), "lab.toml")


def test_a_variable_of_a_list_with_an_open_quotation_is_refused() -> None:
    with pytest.raises(UsageError, match=r"LAB_SAMBA_PATCHES: .* is not allowed"):
        settings.load(ROOT / "tests", {"LAB_SAMBA_PATCHES": "'one"})


def test_an_unknown_key_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        settings.from_document({"front": {"prot": 1}}, "lab.toml")
    assert str(caught.value) == (
        "lab.toml: [front] has no key 'prot'\n"
        "  did you mean 'port'? allowed: bind, port, address, backend"
    )


def test_an_unknown_section_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'ksmbd'\? allowed: name, share, front"):
        settings.from_document({"ksmb": {"memory": 1}}, "lab.toml")


def test_a_section_written_as_a_value_is_explained() -> None:
    with pytest.raises(UsageError, match="front is a section, not a value"):
        settings.from_document({"front": 1445}, "lab.toml")


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("[front\n")
    with pytest.raises(UsageError, match=r"lab\.toml: not valid TOML: .*line 1"):
        settings.load(tmp_path, {})


def test_without_file_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    loaded = settings.load(tmp_path, {"LAB_FRONT_PORT": ""})
    assert loaded.front.port == 1445
    assert loaded.name == default_name(tmp_path)
    assert loaded.front.client_address == "127.0.0.1"


def test_two_folders_get_two_names(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "a", {}).name != settings.load(tmp_path / "b", {}).name


def test_the_shipped_example_is_the_generated_one() -> None:
    assert (ROOT / "lab.toml.example").read_text() == settings.example()


def test_the_example_with_every_line_switched_on_gives_the_defaults() -> None:
    text = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line
        for line in settings.example().splitlines()
    )
    values = settings.from_document(tomllib.loads(text), "lab.toml.example")
    assert values == {key: declared.default for key, declared in DECLARED.items()}


def test_a_misspelt_variable_is_noticed() -> None:
    read = dict.fromkeys(("LAB_ROOT", "LAB_FRONT_PORT", "LAB_WATCH_PASSWORD", "HOME"), "1")
    environ = {"LAB_FRONT_PROT": "1", **read}
    assert settings.unknown_variables(environ) == [("LAB_FRONT_PROT", "LAB_FRONT_PORT")]
