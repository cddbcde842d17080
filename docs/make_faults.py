"""Write docs/faults.md from the table that the tests run. Run it after changing that: python docs/make_faults.py"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "faults.md"
sys.path.insert(0, str(ROOT / "tests" / "judges"))

from faults import page as text  # noqa: E402

if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
