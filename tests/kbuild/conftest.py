"""The builder's scripts run in a container, from images/kbuild: put where they are found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images" / "kbuild"))
