#!/usr/bin/env python3
"""Draw memory.png, time.png and pages.png from results.json, without measuring again.

python benchmarks/plots.py            # reads and writes in benchmarks/
python benchmarks/plots.py FOLDER     # reads and writes in another folder
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

STYLE = {
    # Its own background and border, so that it looks the same on light and dark pages.
    "figure.facecolor": "white",
    "figure.edgecolor": "#9ca3af",
    "figure.constrained_layout.w_pad": 0.15,
    "figure.constrained_layout.h_pad": 0.1,
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "lines.linewidth": 2.5,
}
ORANGE, PURPLE, GREEN, BLUE = "#c2410c", "#7e22ce", "#0f766e", "#1d4ed8"
CASES = {
    "driver_fetchall": ("fetchall()", ORANGE),
    "load": ("insert_data()", PURPLE),
    "lazy_paginate": ("lazy_paginate(100)", GREEN),
    "stream_users": ("stream_users()", BLUE),
}


class Line(NamedTuple):
    label: str
    colour: str
    rows: list[int]
    values: list[float]


def draw_all(folder: Path) -> None:
    """Draw the three plots of the first server in a folder's results.json, beside it."""
    results = json.loads((folder / "results.json").read_text())
    server = results["pages"][0]["server"]
    growth, pages = (
        [row for row in results[part] if row["server"] == server] for part in ("growth", "pages")
    )
    for column, scale, unit, ylabel, file in (
        ("peak_kib", 1 / 1024, "MiB", "peak memory (MiB)", "memory.png"),
        ("seconds", 1, "s", "time (s)", "time.png"),
    ):
        lines = {}
        for case, look in CASES.items():
            points = [row for row in growth if row["case"] == case]
            values = [scale * point[column] for point in points]
            lines[case] = Line(*look, [point["size"] for point in points], values)
        usual, ours = (text(lines[case], unit) for case in ("driver_fetchall", "stream_users"))
        rows = f"{growth[-1]['size']:,} rows"
        title = f"{rows} take {usual} with fetchall(),\n{ours} with stream_users(), on {server}"
        draw(folder / file, title, [*lines.values()], "rows in the table", ylabel, unit, "log")

    offsets = [page["offset"] for page in pages]
    by_offset = Line("LIMIT/OFFSET", ORANGE, offsets, [1e3 * page["by_offset"] for page in pages])
    by_key = Line("lazy_paginate(100)", GREEN, offsets, [1e3 * page["by_key"] for page in pages])
    usual, ours = (text(line, "ms") for line in (by_offset, by_key))
    title = f"The last page takes {usual} by OFFSET,\n{ours} by key, on {server}"
    lines = [by_offset, by_key]
    draw(
        folder / "pages.png",
        title,
        lines,
        "rows before the page",
        "time of a page of 100 rows (ms)",
        "ms",
        "linear",
    )


def text(line: Line, unit: str) -> str:
    """Return the last value of a line, with two digits or more."""
    value = line.values[-1]
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def draw(
    file: Path, title: str, lines: list[Line], xlabel: str, ylabel: str, unit: str, scale: str
) -> None:
    with rc_context(STYLE):
        figure = Figure(figsize=(6.5, 4.2), layout="constrained", linewidth=2)
        axes = figure.subplots()
        seen: list[list[float]] = []
        for line in lines:
            # Dashes let an earlier line with the same values show through.
            style = (0, (3, 3)) if line.values in seen else "-"
            axes.plot(line.rows, line.values, color=line.colour, linestyle=style, marker="o")
            seen.append(line.values)
        axes.set(xscale=scale, yscale=scale, xlabel=xlabel, ylabel=ylabel)
        if scale == "linear":
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(4))
        else:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,g}")
        figure.suptitle(title, x=0.03, ha="left", size=13, weight="bold")
        label_ends(figure, axes, lines, unit)
        figure.savefig(file, dpi=150, edgecolor=figure.get_edgecolor())


def label_ends(figure: Figure, axes: Axes, lines: list[Line], unit: str) -> None:
    """Write each line's name and last value at its end; labels that would overlap move apart."""
    figure.draw_without_rendering()  # the layout decides where the ends are
    lines = sorted(lines, key=lambda line: line.values[-1])
    ends = [(line.rows[-1], line.values[-1]) for line in lines]
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [to_axes.transform(end)[1] for end in ends]
    gap, lowest, highest = 0.17, 0.05, 0.97
    for index, height in enumerate(heights):
        heights[index] = max(height, lowest)
        lowest = heights[index] + gap
    for index, height in reversed([*enumerate(heights)]):
        heights[index] = min(height, highest)
        highest = heights[index] - gap
    for line, end, height in zip(lines, ends, heights, strict=True):
        axes.annotate(
            f"{line.label}\n{text(line, unit)}",
            end,
            (1.06, height),
            textcoords="axes fraction",
            color=line.colour,
            size=11,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": line.colour,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 5,
            },
        )


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
