"""Symbol versions (CONFIG_MODVERSIONS): what a module was built with against what a kernel has.

The kernel refuses a module whose version of a symbol differs from its own and says `disagrees
about version of symbol`; here it is found out before, for all symbols at once.
"""

from __future__ import annotations


def dumped(text: str) -> dict[str, int]:
    """Read what `modprobe --dump-modversions` prints: a version and a symbol a line."""
    pairs = (line.split() for line in text.splitlines())
    return {words[1]: int(words[0], 16) for words in pairs if len(words) == 2}


def exported(table: str) -> dict[str, int]:
    """Read Module.symvers: version, symbol, module, kind."""
    lines = (line.split("\t") for line in table.splitlines())
    return {words[1]: int(words[0], 16) for words in lines if len(words) >= 3}


def mismatches(module: dict[str, int], table: str) -> list[str]:
    """Return a line for each symbol that a module has in another version than the kernel."""
    kernel = exported(table)
    return [
        f"{symbol}: the module was built with version {version:#010x}, "
        + (f"the kernel has {kernel[symbol]:#010x}" if symbol in kernel else "the kernel has none")
        for symbol, version in sorted(module.items())
        if kernel.get(symbol) != version
    ]
