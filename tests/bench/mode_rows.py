# SPDX-License-Identifier: GPL-2.0-or-later
"""The modes that are compared, and the names of their rows."""
from dataclasses import dataclass
from typing import Optional

UNPROTECTED = "unprotected"
XEN_REMUS = "xl remus 20/s"  # on the Xen testbed


@dataclass(frozen=True)
class Mode:
    mode: str
    interval_ms: int = 50
    latency_ms: Optional[int] = None
    disk_ack: str = "received"


MODES = {
    **{f"remus {rate}/s": Mode("remus", 1000 // rate) for rate in (5, 10, 20, 40)},
    "kemari": Mode("kemari"),
    **{f"adaptive, latency {latency} ms": Mode("adaptive", latency_ms=latency) for latency in (5, 20)},
    "adaptive, disk-ack = epoch": Mode("adaptive", latency_ms=20, disk_ack="epoch"),
}
ADAPTIVE = [name for name, mode in MODES.items() if mode.mode == "adaptive"]
