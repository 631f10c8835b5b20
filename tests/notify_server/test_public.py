"""What the README promises to other projects' tests."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import notify_server
from lab import probe

README = Path(notify_server.__file__).with_name("README.md")


def test_the_readmes_example_serves(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    answered = []
    example = example.replace('"/tmp/share"', repr(str(tmp_path)))
    example = example.replace("...  # any SMB2 client", "await client(host, port)")
    example = example.replace("asyncio.run(main())", "")

    async def client(host: str, port: int) -> None:
        answered.append(await asyncio.to_thread(probe.negotiate, host, port, 5.0))

    names: dict[str, object] = {"client": client}
    exec(example, names)  # our own README
    asyncio.run(names["main"]())  # type: ignore[operator]
    assert answered[0].dialect == 0x0311


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = notify_server.nothing
