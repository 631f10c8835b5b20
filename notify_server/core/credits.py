"""The window of MessageIds that credits open, and what is granted (3.3.1.1, 3.3.1.2, 3.3.5.2.3)."""

from __future__ import annotations

from typing import Final

_LAST: Final = 0xFFFFFFFFFFFFFFFE


class CreditWindow:
    """MessageIds from `low` on, `size` of them; bit i of `used` says that low + i was seen.

    A MessageId is taken once. The window moves as its lowest are taken, so a client that holds
    one back cannot make the server remember more than `maximum` others.
    """

    __slots__ = ("_low", "_maximum", "_size", "_used", "outstanding")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._low = 0
        self._size = 1
        self._used = 0
        self.outstanding = 1

    def take(self, message_id: int, count: int) -> bool:
        """Take `count` (at least 1) ids from `message_id`; False if any was not there to take."""
        start = message_id - self._low
        if start < 0 or start + count > self._size:
            return False
        if start == 0 and not self._used:  # in order, as nearly always
            self._low += count
            self._size -= count
        else:
            mask = ((1 << count) - 1) << start
            if self._used & mask:
                return False
            self._used |= mask
            trailing = ((self._used ^ (self._used + 1)).bit_length()) - 1
            if trailing:
                self._low += trailing
                self._size -= trailing
                self._used >>= trailing
        self.outstanding -= count
        return True

    def grant(self, charge: int, requested: int, *, extra: bool = True) -> int:
        """Credits for a response to a request that cost `charge` and asked for `requested`.

        What was spent comes back, at least one, and `extra` beyond it as far as asked and allowed.
        """
        granted = max(charge, 1)
        if requested > granted and extra:
            granted = requested
        granted = min(granted, self._maximum - self.outstanding, self._maximum - self._size)
        granted = max(granted, 0 if self.outstanding else 1)
        granted = min(granted, _LAST - self._low - self._size)
        self.outstanding += granted
        self._size += granted
        return granted
