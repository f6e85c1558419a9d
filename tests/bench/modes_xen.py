# SPDX-License-Identifier: GPL-2.0-or-later
"""The modes on the Xen testbed: asks for tests/xen/benches/modes.py."""
from typing import Optional, Sequence

import xen_testbed
from mode_rows import ADAPTIVE, MODES
from mode_targets import Targets
from report import Report, medians

COLUMNS = ("row", "ping_p50_ms", "ping_p99_ms", "web_p50_ms", "web_p99_ms", "web64_requests_s", "out_mb_s", "in_mb_s",
           "sql_tps", "heavy_requests_s", "heavy_pages_s", "heavy_checkpoints_s", "heavy_pause_p50_ms",
           "heavy_pause_p99_ms", "heavy_stopped_percent")


def run(report: Report, seconds: float, rows: Optional[Sequence[str]]) -> bool:
    rounds, good = xen_testbed.run("modes", seconds, HAVEN_BENCH_ROWS=";".join(rows or ()))
    for name, each in rounds.items():
        report.row(row=name, **medians(each))
    Targets(report, rounds).check(ADAPTIVE, MODES)
    return good
