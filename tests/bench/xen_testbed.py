# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one of tests/xen/benches on the Xen testbed."""
import json
import os
import subprocess
import sys
from typing import Any

import setting  # noqa: F401  (finds haven_e2e)
from haven_e2e import paths


def run(name: str, seconds: float, **more: str) -> tuple[dict[str, Any], bool]:
    """What it has measured, and whether all of it was measured. A testbed that is up already goes by its own
    environment: `seconds` of each measurement and `more` are the defaults then."""
    environment = {**os.environ, "HAVEN_BENCH_SECONDS": str(round(seconds)), **more}
    done = subprocess.run([paths.ROOT / "scripts" / "xen-testbed", "run", name], stdout=subprocess.PIPE, text=True,
                          env=environment)
    answers: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != 1:
        sys.exit(f"bench {name}: the testbed gave no result")
    good = bool(answers[0]["result"] == "ok")
    if not good:
        print(f"bench {name}: {answers[0]['reason']}", file=sys.stderr)
    return answers[0].get("rounds", {}), good
