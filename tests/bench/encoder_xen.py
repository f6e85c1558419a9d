# SPDX-License-Identifier: GPL-2.0-or-later
"""The encoder's stages on the Xen testbed: asks for tests/xen/benches/encoder.py."""
from typing import Optional, Sequence

import xen_testbed
from ablation import report_load
from report import Report


def run(report: Report, seconds: float, interval_ms: Optional[int], loads: Optional[Sequence[str]]) -> bool:
    options = {"HAVEN_BENCH_INTERVAL": str(interval_ms)} if interval_ms else {}
    if loads:
        options["HAVEN_BENCH_LOADS"] = " ".join(loads)
    measured, good = xen_testbed.run("encoder", seconds, **options)
    for name, rounds in measured.items():
        if "all" in rounds and "none" in rounds:
            report_load(report, f"Xen, {name}", rounds)
    return good
