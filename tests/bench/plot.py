#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws what a benchmark printed with --json, as SVG, or makes tables of it."""
import argparse
import json
import sys
from pathlib import Path
from typing import Any

import modes_table
import plot_modes

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "figures"
# Of each benchmark: a figure's name, and what draws it from the rows.
FIGURES = {"modes": {"modes-latency": plot_modes.latency, "modes-throughput": plot_modes.throughput}}
TABLES = {"modes": modes_table.tables}


def read(path: Path) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """The name of the benchmark, its rows and its targets."""
    try:
        *rows, end = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
        return str(end["bench"]), rows, list(end["targets"])
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"plot: {path} is not what a benchmark prints with --json: {error}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench plot", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="default: docs/figures")
    parser.add_argument("--tables", action="store_true", help="only print tables in Markdown")
    options = parser.parse_args()
    bench, rows, targets = read(options.file)
    if bench not in FIGURES:
        sys.exit(f"plot: there is no figure of the benchmark {bench}")
    if options.tables:
        print(TABLES[bench](rows, targets))
        return 0
    options.into.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES[bench].items():
        path = options.into / f"{name}.svg"
        try:
            path.write_text(draw(rows))
        except ValueError as error:
            sys.exit(f"plot: {name}: {error}")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
