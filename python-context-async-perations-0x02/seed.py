"""Door to the one real seed.py, a folder up, so that `import seed` works in this folder too."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # last, so that what stands beside a script still comes first
spec = importlib.util.spec_from_file_location("seed", ROOT / "seed.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["seed"] = module  # import hands out what stands here, so this door is never seen
