"""Door to the one real seed.py, a folder up, so that `import seed` works in this folder too."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # last, so that what stands beside a script still comes first
real_seed = sys.modules.get("seed")
if getattr(real_seed, "__file__", None) != str(ROOT / "seed.py"):
    spec = importlib.util.spec_from_file_location("seed", ROOT / "seed.py")
    real_seed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real_seed)
    sys.modules["seed"] = real_seed  # import hands out what stands here: this door is not seen


def __getattr__(name):  # for who loads this file by its path
    return getattr(real_seed, name)


if __name__ == "__main__":
    real_seed.run_script(real_seed.main)
