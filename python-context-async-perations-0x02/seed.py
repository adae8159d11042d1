"""Door to the one real seed.py, a folder up, so that `import seed` works in this folder too."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.append(ROOT)  # last, so that what stands beside a script still comes first
real_seed = __import__("seed_script").import_seed()


def __getattr__(name):  # for who loads this file by its path
    return getattr(real_seed, name)


if __name__ == "__main__":
    real_seed.run_script(real_seed.main)
