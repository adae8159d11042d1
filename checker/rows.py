"""Compare an answer's rows, in whatever form, with those of the table."""


def count(number: int, one: str, many: str = "") -> str:
    """A number and its noun: 1 row, 2 rows."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def same_row(found, expected: list) -> bool:
    """Whether a row (a dict or a list) has the expected values; numbers are compared by value."""
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
    """Say how the rows differ from the expected ones, in any order; '' if they do not."""
    if not isinstance(found, list):
        return f"expected a list of {what}, got {short(found)}"
    if not expected:  # then no answer could be right
        return "after the file was imported, its database held no users"
    left = {tuple(row): row for row in expected}
    times: dict[tuple, int] = {}
    strange = None
    for row in found:
        key = next((k for k in left if same_row(row, left[k])), None)
        if key is None:
            strange = row if strange is None else strange
        else:
            times[key] = times.get(key, 0) + 1
    if strange is not None:
        return f"expected rows like {short(expected[0])}, got {short(strange)}"
    if doubled := sum(n > 1 for n in times.values()):
        return f"{count(doubled, 'row appears', 'rows appear')} more than once"
    missing = [row for key, row in left.items() if key not in times]
    return missing_rows(missing, list(left.values()), "{} " + what)


def missing_rows(missing: list[list], expected: list[list], what: str) -> str:
    """Say how many rows are missing, and which, if their places show it; '' if none is.

    `what` has `{}` where the number of the expected rows goes. The last value of a row is its age.
    """
    number, places = len(missing), [expected.index(row) for row in missing]
    step = places[0] + 1 if places else 1
    which = ""
    if missing == [row for row in expected if row[-1] <= 25]:
        which = ": those aged 25 or less"
    elif places == list(range(number)):
        which = f": the first {number}"
    elif missing == expected[-number:]:
        which = f": the last {number}"
    elif number > 1 and places == list(range(step - 1, len(expected), step)):
        which = f": one after every {step - 1} rows"
    said = f"{number} of {what.format(len(expected))} are missing"
    return said + which * (number < len(expected)) if missing else ""


def short(value) -> str:
    """The value as at most 100 characters of text."""
    if isinstance(value, dict) and "$object" in value:  # what JSON could not hold
        return f"an object of type {value['$object']}"[:100]
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
