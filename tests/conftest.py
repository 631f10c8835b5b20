"""For all tests: Ctrl-C means Ctrl-C, also where the runner was started in the background.

A shell's background job ignores SIGINT, and whatever it starts inherits that; a handler does not
survive exec, so programs under test get the default back.
"""

from __future__ import annotations

import signal

from hypothesis import settings

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
