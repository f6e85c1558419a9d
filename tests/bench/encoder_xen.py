# SPDX-License-Identifier: GPL-2.0-or-later
"""The encoder's stages on the Xen testbed: asks for tests/xen/benches/encoder.py."""
import json
import os
import subprocess
import sys
from typing import Optional, Sequence

import setting  # noqa: F401  (finds haven_e2e)
from ablation import report_load
from haven_e2e import paths
from report import Report


def run(report: Report, seconds: float, interval_ms: Optional[int], loads: Optional[Sequence[str]]) -> bool:
    """A testbed that is up already goes by its own environment: all of these are the defaults then."""
    environment = {**os.environ, "HAVEN_BENCH_SECONDS": str(round(seconds))}
    if interval_ms:
        environment["HAVEN_BENCH_INTERVAL"] = str(interval_ms)
    if loads:
        environment["HAVEN_BENCH_LOADS"] = " ".join(loads)
    done = subprocess.run([paths.ROOT / "scripts" / "xen-testbed", "run", "encoder"], stdout=subprocess.PIPE,
                          text=True, env=environment)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != 1:
        sys.exit("bench encoder: the testbed gave no result")
    for name, rounds in answers[0].get("rounds", {}).items():
        if "all" in rounds and "none" in rounds:
            report_load(report, f"Xen, {name}", rounds)
    if answers[0]["result"] != "ok":
        print(f"bench encoder: {answers[0]['reason']}", file=sys.stderr)
    return bool(answers[0]["result"] == "ok")
