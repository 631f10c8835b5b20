"""The guest's builder and supervisor are scripts in images/ksmbd: put where they are found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images" / "ksmbd"))
