"""How the base is built: its modules import in one order, and import does nothing but define."""

import ast
import re
import subprocess
import sys

from conftest import ROOT

PARTS = ROOT / "seed_parts"


def order() -> list[str]:
    """The modules in the order that the package's docstring states."""
    docstring = ast.get_docstring(ast.parse((PARTS / "__init__.py").read_text(encoding="utf-8")))
    return re.findall(r"\w+", docstring.partition("from earlier ones: ")[2])


def imported(path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    ]
    return {name for name in modules + names if name}


def test_modules_of_the_base_import_earlier_ones_only():
    modules = order()
    assert {path.stem for path in PARTS.glob("*.py")} == {*modules, "__init__"}
    for position, name in enumerate(modules):
        parts = {m.partition(".")[2] for m in imported(PARTS / f"{name}.py") if "seed" in m}
        assert parts <= set(modules[:position]), name


def test_products_import_nothing_of_the_tests():
    tests = {path.stem for path in (ROOT / "tests").glob("*.py")} | {"tests"}
    for folder in ("seed_parts", "checker", "servers", "benchmarks"):
        for path in (ROOT / folder).glob("*.py"):
            assert not {name.partition(".")[0] for name in imported(path)} & tests, path


def test_no_test_imports_or_patches_a_private_name():
    for path in (ROOT / "tests").glob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?:setattr|patch)\([^)]*[\"'.]_[a-z]\w*[\"']", text), path
        assert not {name for name in imported(path) if name.startswith("seed_parts")}, path


def test_importing_seed_imports_no_database_module():
    code = "import seed, sys; print(*{'mysql', 'dotenv', 'tqdm', 'aiosqlite'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("\n", "")
