# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the testbed's files are."""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
PREFIX = Path(os.environ.get("HAVEN_PREFIX", ROOT / "build" / "root"))
XEN = ROOT / ".cache" / "xen"
RUN = XEN / "run"
LOGS = XEN / "log"
SCENARIOS = ROOT / "tests" / "xen" / "scenarios"
BENCHES = ROOT / "tests" / "xen" / "benches"


def emulator() -> str:
    """HAVEN_XEN_EMULATOR, or the distribution's QEMU: what the hosts run on is never what
    is tested on them."""
    from haven_e2e import paths
    return os.environ.get("HAVEN_XEN_EMULATOR") or paths.tool("qemu-system-x86_64")
