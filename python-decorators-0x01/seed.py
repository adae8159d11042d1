"""Make `import seed` and `python seed.py` work in this folder too; seed.py itself is a folder up."""

import runpy
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)  # last, so that what stands beside a script still comes first

from seed_parts import *  # noqa: E402, what seed.py offers; it needs the path
from seed_parts import __all__  # noqa: E402, F401

if __name__ == "__main__":
    runpy.run_path(f"{ROOT}/seed.py", run_name="__main__")
