"""Comparing rows, in whatever form an answer gives them, with those of the table."""


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def same_row(found, expected: list) -> bool:
    """Tell whether a row, as a dict or a list, has this row's values; numbers by value."""
    if isinstance(found, dict):
        names = ("user_id", "id", "name", "email", "age")
        lower = {str(key).lower(): value for key, value in found.items()}
        found = [lower[name] for name in names if name in lower] or list(lower.values())
    if not isinstance(found, list):
        return False
    return len(found) == len(expected) and all(map(_same, found, expected))


def _same(found, expected) -> bool:
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        try:
            return abs(float(found) - float(expected)) < 1e-6
        except (TypeError, ValueError, OverflowError):
            return False
    return found == expected


def compare_rows(found, expected: list[list], what: str = "rows") -> str:
    """Say how the rows differ from those of the table, in any order; an empty text if they do not."""
    if not isinstance(found, list):
        given = (
            "nothing"
            if found is None
            else found.get("$object", "a dict")
            if isinstance(found, dict)
            else repr(found)[:60]
        )
        return f"expected {what}, got {given}"
    if not expected:  # then nothing would be right
        return "when the file had been imported, its database held no users"
    left = {tuple(row): row for row in expected}
    times: dict[tuple, int] = {}
    strange = None
    for row in found:
        key = next((k for k in _near(row, left) if same_row(row, left[k])), None)
        if key is None:
            strange = row if strange is None else strange
        else:
            times[key] = times.get(key, 0) + 1
    if strange is not None:
        return f"expected rows like {short(expected[0])}, got {short(strange)}"
    if doubled := sum(n > 1 for n in times.values()):
        return f"{count(doubled, 'row')} came more than once"
    if missing := len(left) - len(times):
        return f"{missing} of {len(left)} {what} are missing"
    return ""


def _near(row, left: dict):
    values = row.values() if isinstance(row, dict) else row if isinstance(row, list) else []
    first = next(iter(values), None)
    exact = [key for key in left if key and key[0] == first]
    return exact or left


def short(value) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
