#!/usr/bin/env python3
"""Draw docs/img/*.svg from what benchmarks printed: files in docs/logs, or a table of a page.

usage: python scripts/plots.py [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WIDTH, LEFT, LONGEST = 540, 196, 280
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#24292f}.h{font-weight:600}.n{fill:#57606a}.o{fill:#8c959f}"
    ".m{fill:#3f51b5}.l{fill:#9fa8da}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#9da7b3}"
    ".o{fill:#6e7681}.m{fill:#8c9eff}.l{fill:#4a5599}}"
)


class Bar(NamedTuple):
    """A bar: its label (none where it continues the one above), its length, its number as text, its colour's class."""

    label: str
    value: float
    shown: str
    colour: str


class Chart(NamedTuple):
    """A picture of horizontal bars; a string among them is a heading."""

    title: str
    bars: list[Bar | str]
    legend: tuple[tuple[str, str], ...] = ()


def rows_of(text: str, columns: int) -> dict[str, list[float]]:
    """The rows of a printed table that have at least so many numbers, by their labels."""
    rows = re.findall(r"^(\S.*?) {2,}(\S.*)$", text, re.M)
    found = {label: re.findall(r"(?<!\S)[\d.]+(?!\S)", rest) for label, rest in rows}
    return {label: [float(x) for x in numbers] for label, numbers in found.items() if len(numbers) >= columns}


# --- the charts ---


def step(text: str) -> Chart:
    """Milliseconds of a LoRA step, by `bench.py tuner`."""
    milliseconds = {name: numbers[0] for name, numbers in rows_of(text, 4).items()}
    bars: list[Bar | str] = [
        Bar(name.replace("PyTorch", "PyTorch 2.13"), ms, _number(ms), "m" if "mlxffi" in name else "o")
        for name, ms in sorted(milliseconds.items(), key=lambda item: item[1])
    ]
    return Chart("Milliseconds per LoRA step on two CPU cores (shorter is better)", bars)


CALLS = [
    "a + b", "exp(a)", "a[1:3, ::2]", "value_and_grad of square", "vjp of 10 operations", "vmap of square",
    "call of a compiled function", "training step, compiled",
]  # fmt: skip


def dispatch(text: str) -> Chart:
    """What a call costs relative to mlx.core, by `bench.py dispatch`."""
    rows = rows_of(text, 3)
    bars: list[Bar | str] = []
    for name in CALLS:
        *flat, _, core, _ = rows[name]
        bars.append(Bar(name, core, f"{core:.2f}", "m"))
        bars += [Bar("", flat[1], f"{flat[1]:.2f}", "l")] if flat else []
    return Chart("Time of a call, relative to mlx.core = 1", bars, (("m", "mlxffi.core"), ("l", "mlxffi")))


TASKS = ["LoRA step, 4 x 128 tokens", "decoding, per token", "prompt of 512 tokens, per token"]


def real(page: str) -> Chart:
    """CPU time of a real model, by the table of docs/performance.md that has `bench.py real`'s figures."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    bars: list[Bar | str] = []
    for task in TASKS:
        index = next(index for index, row in enumerate(rows) if row[0] == task)
        head = next(row for row in reversed(rows[:index]) if row[0] == "")
        bars.append(task)
        for name, shown in zip(head[1:], rows[index][1:], strict=True):
            colour = "m" if name.startswith("mlxffi") else "o"
            bars += [Bar(name, float(shown.replace(",", "")), shown, colour)] if shown else []
    return Chart("SmolLM2-135M, CPU time in ms on one thread (shorter is better)", bars)


CHARTS = {
    "step": ("logs/bench_tuner.txt", step),
    "dispatch": ("logs/bench_dispatch.txt", dispatch),
    "real": ("performance.md", real),
}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


# --- drawing ---


def drawn(chart: Chart) -> str:
    """A chart as SVG, in colours for light and dark pages."""
    body, y = [_text(0, 18, chart.title)], 44
    for index, (colour, name) in enumerate(chart.legend):
        body += [_rect(LEFT + 130 * index, 32, 12, 12, colour), _text(LEFT + 20 + 130 * index, 43, name)]
        y = 60
    for bar, scale in zip(chart.bars, _scales(chart.bars), strict=True):
        if isinstance(bar, str):
            body.append(_text(0, y + 22, bar, "h"))
            y += 34
            continue
        y += 8 if bar.label else 0
        length = round(bar.value * scale, 1)
        body += [_text(LEFT - 10, y + 15, bar.label, anchor="end")] if bar.label else []
        body += [_rect(LEFT, y, length, 20, bar.colour), _text(LEFT + length + 8, y + 15, bar.shown, "n")]
        y += 22
    return _svg(chart, y + 12, body)


def _scales(bars: list[Bar | str]) -> Iterator[float]:
    """Pixels a unit for each bar: the longest one under a heading has the full length."""
    groups: list[list[float]] = [[]]
    for bar in bars:
        if isinstance(bar, str):
            groups.append([])
        groups[-1].append(0.0 if isinstance(bar, str) else bar.value)
    return (LONGEST / max(group) for group in groups for _ in group)


def _svg(chart: Chart, height: int, body: list[str]) -> str:
    said = ", ".join(bar if isinstance(bar, str) else f"{bar.label} {bar.shown}".strip() for bar in chart.bars)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
    return "\n".join([
        f'{opening} role="img" aria-labelledby="t">',
        f'<title id="t">{escape(f"{chart.title}: {said}")}</title>',
        f"<style>{STYLE}</style>",
        *body,
        "</svg>\n",
    ])  # fmt: skip


def _text(x: float, y: float, text: str, colour: str = "", anchor: str = "") -> str:
    attributes = (f' text-anchor="{anchor}"' if anchor else "") + (f' class="{colour}"' if colour else "")
    return f'<text x="{x:g}" y="{y:g}"{attributes}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2" class="{colour}"/>'


def main() -> None:
    """Write the pictures, or with --check say which ones differ from what would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a picture is out of date")
    options = parser.parse_args()
    stale = []
    for name, (source, chart) in CHARTS.items():
        text, path = drawn(chart((DOCS / source).read_text())), DOCS / f"img/{name}.svg"
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        sys.exit(f"out of date, run python scripts/plots.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
