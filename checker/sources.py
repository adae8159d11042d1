"""Read an answer's files without running them: lines of definitions, passwords in the code."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_WITH_DIGIT = re.compile(r"\s*(from|import)\s+[\w.]*?(\b\d|\w-)")
DIGIT_HINT = (
    "A module whose name begins with a digit or contains a hyphen cannot be imported by `import`. "
    "Which function of importlib takes the name as text?"
)
KINDS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
SUPPRESSES = r"suppress\((?!KeyError\))"  # with KeyError alone, it looks into a cache
SECRET_NAME = re.compile(r"passw|passwd|pwd|secret|token|api_?key|access_?key", re.IGNORECASE)


class Source:
    """One file's text and syntax tree, to find the line of a definition or call."""

    def __init__(self, path: Path):
        self.path, self.text, self.error = path, read_source(path), None
        try:
            self.tree = ast.parse(path.read_bytes(), filename=path.name)
            compile(self.tree, path.name, "exec")  # finds an `await` outside of a function
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            self.tree, self.error = ast.Module([], []), error

    def is_empty(self) -> bool:
        values = (n.value if isinstance(n, ast.Expr) else n for n in self.tree.body)
        return self.error is None and all(isinstance(v, ast.Constant) for v in values)

    def syntax_hint(self) -> str:
        line = getattr(self.error, "lineno", 0) or 0
        if any(map(MODULE_WITH_DIGIT.match, self.text.splitlines()[line - 1 : line])):
            return DIGIT_HINT
        if "outside" in str(self.error):
            return "Only an `async def` can contain `await`, only a function `return` or `yield`."
        return "Check this line and the one before: brackets, quotes, colons and indentation."

    def names(self, imported: bool = True) -> set[str]:
        """The functions and classes that the file defines at its top level, and names for such.

        `imported` includes imports, except from the standard library, and assignments such as
        `retry = again` or `retry = decorate(function)`.
        """
        if self.error:
            return set(re.findall(r"(?m)^(?:async\s+)?(?:def|class)\s+(\w+)", self.text))
        found, nodes = set(), list(self.tree.body)
        for node in nodes:
            if isinstance(node, KINDS):
                found.add(node.name)
                continue
            if imported and isinstance(node, ast.ImportFrom):
                if (node.module or "").partition(".")[0] not in sys.stdlib_module_names:
                    found |= {alias.asname or alias.name for alias in node.names}
            elif imported and isinstance(node, ast.Assign):
                values = node.value.args if isinstance(node.value, ast.Call) else [node.value]
                if any(isinstance(v, ast.Name | ast.Attribute | ast.Lambda) for v in values):
                    found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            nodes += ast.iter_child_nodes(node)
        return found

    def to_do(self) -> list[str]:
        """The functions and classes that only raise NotImplementedError."""
        return [node.name for node in self.tree.body if hasattr(node, "name") and _is_to_do(node)]

    def line_of(self, *names: str) -> int | None:
        """The line that defines the first of these functions or classes; names may be patterns."""
        return next((node.lineno for node in self._definitions(*names)), None)

    def innermost(self, *names: str) -> tuple[str, int | None]:
        """Name and line of the innermost function, or __call__, of the first of these definitions."""
        tops = self._definitions(*names)[:1]
        found = [n for top in tops for n in ast.walk(top) if isinstance(n, ast.FunctionDef)]
        usual = [n for n in found if n.name in ("wrapper", "inner", "wrapped", "__call__")]
        return next(((n.name, n.lineno) for n in reversed(usual or found)), ("the wrapper", None))

    def decorators_of(self, name: str) -> list[str]:
        found = [one for node in self._definitions(name) for one in node.decorator_list]
        return [ast.unparse(one).partition("(")[0] for one in found]

    def line_of_call(self, *names: str, inside: tuple[str, ...] = ()) -> int | None:
        """The line of the first call of a method or function; names may be patterns."""
        for node in self._nodes(*inside):
            function = getattr(node, "func", None)
            name = getattr(function, "attr", getattr(function, "id", ""))
            if re.fullmatch("|".join(names), name):
                return node.lineno
        return None

    def line_of_return(self, *inside: str) -> int | None:
        """The line of the last `return`; `inside` is as for line_of_call()."""
        found = [node.lineno for node in self._nodes(*inside) if isinstance(node, ast.Return)]
        return max(found, default=None)

    def line_of_swallow(self, *inside: str) -> int | None:
        """The line that hides an error: an `except` that never raises, `return` in a `finally`,
        `suppress()`, or a value that __exit__ returns.

        `inside` is as for line_of_call().
        """
        is_exit, harmless = inside == ("__exit__",), ("return", "return None", "return False")
        is_exit = is_exit and bool(self._definitions(*inside))
        for node in self._nodes(*inside):
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            is_except = isinstance(node, ast.ExceptHandler) and not raises
            if is_except and "except KeyError" not in ast.unparse(node):
                return node.lineno
            if is_exit and isinstance(node, ast.Return) and ast.unparse(node) not in harmless:
                return node.lineno
            if any(isinstance(end, ast.Return) for end in getattr(node, "finalbody", ())):
                return node.finalbody[-1].lineno
            if isinstance(node, ast.With) and re.search(SUPPRESSES, ast.unparse(node.items[0])):
                return node.lineno
        return None

    def word_at(self, line: int | None) -> str:
        return re.match(r"\w*", self.text.splitlines()[line - 1].lstrip())[0] if line else ""

    def line_with(self, pattern: str, *inside: str) -> int | None:
        """The first line that matches: in the first of these definitions, or else in the file."""
        top = next(iter(self._definitions(*inside)), None)
        first, last = (top.lineno, top.end_lineno) if top else (1, None)
        lines = enumerate(self.text.splitlines()[first - 1 : last], first)
        return next((n for n, line in lines if re.search(pattern, line, re.IGNORECASE)), None)

    def _definitions(self, *names: str) -> list[ast.AST]:
        """The functions and classes of these names, which may be patterns, in the names' order."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, KINDS)]
        return [node for name in names for node in nodes if re.fullmatch(name, node.name)]

    def _nodes(self, *inside: str) -> Iterator[ast.AST]:
        """The nodes in the functions or classes of these names, which may be patterns; else all."""
        for top in self._definitions(*inside) or [self.tree]:
            yield from ast.walk(top)


def read_source(path: Path) -> str:
    """The text of a file, with invalid bytes replaced; '' if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return ""


def secrets_in(text: str) -> Iterator[str]:
    """The texts that the code gives to names such as `password`."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        found = re.findall(r"(\w+)['\"]?\s*[:=]\s*['\"]([^'\"\n]+)['\"]", text)
        yield from (value for name, value in found if SECRET_NAME.search(name))
        return
    for node in ast.walk(tree):
        match node:
            case ast.keyword(str(name), value):
                pairs = [(name, value)]
            case ast.Assign(targets, value):
                pairs = [(ast.unparse(target), value) for target in targets]
            case ast.Dict(keys, values):
                pairs = [(ast.unparse(k or v), v) for k, v in zip(keys, values, strict=True)]
            case ast.Call(args=[ast.Constant() as name, value, *_]):  # os.getenv("NAME", "default")
                pairs = [(str(name.value), value)]
            case _:
                pairs = []
        for value in (value for name, value in pairs if SECRET_NAME.search(name)):
            for one in value.values if isinstance(value, ast.BoolOp) else [value]:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield one.value


def _is_to_do(node: ast.stmt) -> bool:
    body = node.body if isinstance(node, ast.ClassDef) else [node]
    ends = [ast.unparse(n.body[-1]) for n in body if isinstance(n, KINDS)]
    return any(end.startswith("raise NotImplementedError") for end in ends)
