# SPDX-License-Identifier: GPL-2.0-or-later
"""A figure as SVG, readable on light and on dark pages. Sizes are in its own units, the pixels of a
page on which it is not scaled; colours are numbers of COLOURS."""
from html import escape

# Told apart on both grounds, and by people who do not see all colours alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
STYLE = """text { font: 13px sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: bold; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.axis { stroke: #8c959f; }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de; } }"""


class Figure:
    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """`kind`: grid or axis."""
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def stroke(self, x1: float, y1: float, x2: float, y2: float, colour: int) -> None:
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                           f'stroke="{COLOURS[colour]}" stroke-width="2"/>')

    def dot(self, x: float, y: float, colour: int) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{COLOURS[colour]}"/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: int) -> None:
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" '
                           f'fill="{COLOURS[colour]}"/>')

    def text(self, x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> None:
        """`anchor`: start, middle or end. `kind`: title or nothing."""
        name = f' class="{kind}"' if kind else ""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(words)}</text>')

    def render(self) -> str:
        size = f'width="{self._width}" height="{self._height}" viewBox="0 0 {self._width} {self._height}"'
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', f"<style>{STYLE}</style>",
                          *self._parts, "</svg>", ""])
