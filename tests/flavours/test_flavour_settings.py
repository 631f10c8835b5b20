"""`[flavours.NAME]`: what is accepted, how each mistake is named, and what a node gets of it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab import settings, targets
from lab.errors import UsageError
from lab.flavours import settings as flavours


def read(**section: Any) -> flavours.FlavourSettings:
    return flavours.from_document({"x": section}, "lab.toml")["x"]


@pytest.mark.parametrize(
    ("section", "kernel_from"),
    [
        ({}, "same"),
        ({"source": "/src/linux", "patches": ["a.patch"]}, "same"),
        ({"suite": "sid"}, "debian"),
        ({"suite": "sid", "kernel": "rt-amd64"}, "debian"),
        ({"image": "/k/bzImage", "modules": "/k/lib/modules/6.19.0"}, "image"),
        ({"tree": "/src/linux"}, "tree"),
        ({"tree": "debian", "suite": "sid", "config": "debug"}, "tree"),
    ],
)
def test_each_kind_of_kernel(section: dict[str, Any], kernel_from: str) -> None:
    assert read(**section).kernel_from == kernel_from


def test_one_fragment_may_stand_without_brackets() -> None:
    assert read(tree="/t", config="debug").config == ("debug",)
    assert read(tree="/t", config=["debug", "mine.config"]).config == ("debug", "mine.config")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"suit": "sid"}, r"\[flavours\.x\] has no key 'suit'\n.*did you mean 'suite'"),
        ({"suite": "Sid"}, r"\[flavours\.x\] suite = 'Sid' is not allowed"),
        ({"memory": 64}, r"memory = 64 is not allowed\n.*an integer from 128"),
        ({"patches": [1]}, r"patches = \[1\] is not allowed"),
        ({"image": "/k"}, "has image but no modules"),
        ({"modules": "/k"}, "has modules but no image"),
        ({"suite": "sid", "tree": "/t"}, "has several kernels: suite, tree"),
        ({"image": "/k", "modules": "/m", "tree": "/t"}, "has several kernels: image, tree"),
        ({"config": ["debug"]}, "has config but no tree"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(section: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**section)
    assert caught.match(words)
    assert caught.value.message.startswith("lab.toml: ")


@pytest.mark.parametrize("name", ["Sid", "a b", "", "-x", "ksmbd", "x" * 32])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="flavour"):
        flavours.from_document({name: {}}, "lab.toml")


@pytest.mark.parametrize("content", [3, {"x": 3}])
def test_a_section_written_as_a_value_is_explained(content: Any) -> None:
    with pytest.raises(UsageError, match="is a section, not a value"):
        flavours.from_document(content, "lab.toml")


def load(tmp_path: Path, text: str, **environ: str) -> settings.Settings:
    (tmp_path / "lab.toml").write_text(text)
    return settings.load(tmp_path, environ)


def test_flavours_become_backends_and_nodes(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[flavours.sid]\nsuite = "sid"\n[flavours.mine]\n')
    assert loaded.backends == ("samba", "ksmbd", "ksmbd@sid", "ksmbd@mine", "py")
    assert loaded.nodes == ("front", *loaded.backends, "client")


def test_a_flavour_takes_from_ksmbd_what_it_does_not_say(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[ksmbd]\nmemory = 300\ndebug = "smb"\n[flavours.x]\nmemory = 512\n')
    own = loaded.ksmbd_of("ksmbd@x")
    assert (own.memory, own.debug, own.kernel) == (512, "smb", "cloud-amd64")
    assert loaded.ksmbd_of("ksmbd").memory == 300


def test_a_flavour_may_be_the_first_active_server(tmp_path: Path) -> None:
    text = "[flavours.x]\n[front]\nbackend = "
    assert load(tmp_path, text + '"ksmbd@x"').front.backend == "ksmbd@x"
    with pytest.raises(UsageError, match=r"there is no \[flavours\.y\]\n.*ksmbd@x"):
        load(tmp_path, text + '"ksmbd@y"')


def test_the_example_can_be_switched_on() -> None:
    lines = [line.removeprefix("# ") for line in flavours.example()]
    start = lines.index("[flavours.sid]")
    values = [line for line in lines[start:] if line.startswith("[") or " = " in line[:12]]
    content = tomllib.loads("\n".join(values[:4]))["flavours"]
    assert set(flavours.from_document(content, "example")) == {"sid", "mine"}


def test_deadlines_grow_with_what_a_kernel_checks(tmp_path: Path) -> None:
    read = load(
        tmp_path,
        '[flavours.debug]\ntree = "debian"\nconfig = ["debug"]\n'
        '[flavours.mine]\nimage = "/k/bzImage"\nmodules = "/k/modules"\nslowness = 3\n'
        "[flavours.plain]\n",
    )
    assert {name: read.slowness_of(name) for name in read.backends if name.startswith("ksmbd")} == {
        "ksmbd": 1,
        "ksmbd@debug": flavours.DEBUG_SLOWNESS,
        "ksmbd@mine": 3,
        "ksmbd@plain": 1,
    }
    assert targets.scale_of("ksmbd@mine", read, "tcg") == 3 * targets.scale_of("ksmbd", read, "tcg")
    assert targets.scale_of("samba", read, "tcg") == 1
