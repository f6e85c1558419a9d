# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest and its client do over some seconds, on the host's clock: a guest that
is stopped does not see its own pauses."""
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional

import setting
from haven_e2e.client import Client
from haven_e2e.lab import Lab

LOAD = {"memory_pages_s": 1000, "memory_pages": 4096, "disk_threads": 2, "disk_ops_s": 40,
        "chatter_s": 20}
# Paced: far below what the guest can do, for latencies. Saturated: as fast as it answers,
# with so many requests in flight that the wait for a commit does not limit them.
PACED = {"window": 64, "rate": 100}
SATURATED = {"window": 64, "rate": 1000000}
WARM_SECONDS = 0.7


@dataclass
class Figures:
    seconds: float
    requests_s: float
    pages_s: float
    disk_ops_s: float
    latency_p50_us: float
    latency_p99_us: float


@dataclass
class _Sample:
    when: float
    acked: int
    pages: int
    disk_ops: int


def _sample(client: Client) -> _Sample:
    status = client.control("status")
    when = time.monotonic()
    return _Sample(when, client.acked(), int(status["memory_writes"]), int(status["disk_operations"]))


def run(lab: Lab, options: Mapping[str, Any], seconds: float, meanwhile: Optional[Callable[[], None]] = None,
        beside: Optional[dict[str, int]] = None, after: Optional[dict[str, int]] = None) -> Figures:
    """Runs a client for `seconds`; calls `meanwhile` again and again while it is measured.
    `beside` is what the guest does by itself meanwhile, else LOAD; `after`, what it does from then on, else
    the same."""
    client = Client(lab.processes, **options)
    client.load(**(LOAD if beside is None else beside))
    setting.carry_nice()
    time.sleep(WARM_SECONDS)
    first = _sample(client)
    while time.monotonic() < first.when + seconds:
        if meanwhile:
            meanwhile()
        else:
            time.sleep(0.05)
    last = _sample(client)
    stats = client.stats()
    client.ask("pause")  # the next client begins where this one's last answered request was
    client.require_clean()
    if after is not None:
        client.load(**after)
    client.quit()
    took = last.when - first.when
    return Figures(took, (last.acked - first.acked) / took, (last.pages - first.pages) / took,
                   (last.disk_ops - first.disk_ops) / took, float(stats["latency_p50_us"]),
                   float(stats["latency_p99_us"]))
