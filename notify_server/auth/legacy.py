"""MD4 and RC4, which NTLM still needs and OpenSSL 3 no longer offers by default."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack
from typing import Final

_MASK: Final = 0xFFFFFFFF

# RFC 1320 section 3.4: additive constant, shifts, and the order in which a round takes the words.
_ROUNDS: Final = (
    (0x00000000, (3, 7, 11, 19), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
    (0x5A827999, (3, 5, 9, 13), (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
    (0x6ED9EBA1, (3, 9, 11, 15), (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)),
)
_MIX: Final[tuple[Callable[[int, int, int], int], ...]] = (
    lambda x, y, z: (x & y) | (~x & z),
    lambda x, y, z: (x & y) | (x & z) | (y & z),
    lambda x, y, z: x ^ y ^ z,
)


def md4(data: bytes) -> bytes:
    """MD4 digest (RFC 1320); used once for each configured password."""
    padding = b"\x80" + b"\0" * ((55 - len(data)) % 64)
    data = data + padding + pack("<Q", 8 * len(data))
    state = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    for start in range(0, len(data), 64):
        words = unpack("<16I", data[start : start + 64])
        a, b, c, d = state
        for (constant, shifts, order), mix in zip(_ROUNDS, _MIX, strict=True):
            for step, index in enumerate(order):
                total = (a + mix(b, c, d) + words[index] + constant) & _MASK
                shift = shifts[step % 4]
                a, b, c, d = d, ((total << shift) | (total >> (32 - shift))) & _MASK, b, c
        state = tuple((x + y) & _MASK for x, y in zip(state, (a, b, c, d), strict=True))  # type: ignore[assignment]
    return pack("<4I", *state)


def rc4(key: bytes, data: bytes) -> bytes:
    """RC4 of a short message with a fresh key stream ([MS-NLMP] 3.4.3, session key exchange)."""
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 0xFF
        state[i], state[j] = state[j], state[i]
    i = j = 0
    out = bytearray()
    for byte in data:
        i = (i + 1) & 0xFF
        j = (j + state[i]) & 0xFF
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) & 0xFF])
    return bytes(out)
