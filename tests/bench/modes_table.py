# SPDX-License-Identifier: GPL-2.0-or-later
"""What `scripts/bench modes` printed, as the tables of docs/benchmarks.md."""
from typing import Any, Sequence

Row = dict[str, Any]
# A heading, the figures of its cells, and what one of them is divided by.
Columns = Sequence[tuple[str, tuple[str, ...], float]]
LATENCY: Columns = (
    ("ping ms", ("ping_p50_ms", "ping_p99_ms"), 1), ("9 requests/s ms", ("light_p50_ms", "light_p99_ms"), 1),
    ("HTTP ms", ("web_p50_ms", "web_p99_ms"), 1), ("HTTP, 64 ms", ("web64_p50_ms", "web64_p99_ms"), 1),
    ("pause ms", ("pause_p50_us", "pause_p99_us"), 1000), ("its limit ms", ("limit_p50_us", "limit_p99_us"), 500),
    ("downtime ms, p50 / max", ("downtime_p50_ms", "downtime_max_ms"), 1), ("lost", ("lost",), 1))
THROUGHPUT: Columns = (
    ("HTTP, 64: requests/s", ("web64_requests_s",), 1), ("heavy: requests/s", ("heavy_requests_s",), 1),
    ("pages/s", ("heavy_pages_s",), 1), ("checkpoints/s", ("heavy_epochs_s",), 1),
    ("TCP out / its window MB/s", ("out_mb_s", "out_allowed_mb_s"), 1),
    ("TCP in / its window MB/s", ("in_mb_s", "in_allowed_mb_s"), 1),
    ("PostgreSQL 1 / 16 clients, tps", ("sql_tps", "sql16_tps"), 1),
    ("idle: checkpoints/s / CPU %", ("idle_epochs_s", "idle_cpu_percent"), 1))


def tables(rows: Sequence[Row], targets: Sequence[Row]) -> str:
    return "\n\n".join([_table(rows, LATENCY), _table(rows, THROUGHPUT), _targets(targets)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cell(row: Row, keys: tuple[str, ...], divisor: float) -> str:
    return " / ".join(_number(row[key] / divisor) for key in keys if key in row) or "-"


def _table(rows: Sequence[Row], columns: Columns) -> str:
    cells = [["mode", *(heading for heading, _, _ in columns)], ["---", *("--:" for _ in columns)]]
    cells += [[row["row"], *(_cell(row, keys, divisor) for _, keys, divisor in columns)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _targets(targets: Sequence[Row]) -> str:
    lines = ["| target | wanted | measured |  |", "|---|--:|--:|--:|"]
    return "\n".join(lines + [f"| {one['name']} | {one['target']} | {one['measured']:g} | "
                              f"{'met' if one['met'] else '**missed**'} |" for one in targets])
