# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest under load is measured for `scripts/bench xen`: what it and its client get done,
and how it is stopped.

Pauses are what a sampler in the guest sees: it sleeps for a millisecond again and again and
keeps how much longer it took. Of a window with N checkpoints the N longest count; how many there
were says who takes them."""
import os
import sys
import time
from typing import Any, Callable, Optional

from .bed import Testbed
from haven_e2e.processes import Failure, wait_until

WINDOW = int(os.environ.get("HAVEN_BENCH_SECONDS", "30"))
INTERVALS = (100, 25)  # ms
LOAD = {"memory_pages_s": 1000, "memory_pages": 2048, "disk_threads": 0, "disk_ops_s": 0, "chatter_s": 5}
SAMPLE_US = 1000
# A request is an fsync on an emulated disk, which stops the guest too: few while pauses are measured.
CLIENT = {"rate": 2, "stall": 300}
PATIENCE = 50  # seconds for the first reply after a host's death


def say(text: str) -> None:
    print(f"bench xen: {text}", file=sys.stderr, flush=True)


def window(bed: Testbed, checkpoints: Optional[Callable[[], int]] = None) -> "dict[str, Any]":
    """What the guest and its client got done in WINDOW seconds, and how it was stopped.
    `checkpoints`: how many there were so far; None: nobody takes any."""
    client = bed.the_client()
    client.control(f"stalls {SAMPLE_US}")
    sampled_from = time.monotonic()
    count = checkpoints() if checkpoints else 0
    before, acked, sent, begin = client.control("status"), client.acked(), bed.sent_by(bed.a), time.monotonic()
    time.sleep(WINDOW)
    after, replies, bytes_sent = client.control("status"), client.acked() - acked, bed.sent_by(bed.a) - sent
    seconds = time.monotonic() - begin
    histogram = client.control(f"stalls {SAMPLE_US}")["stalls"]
    # A guest that gets nothing done answers late, and samples until then.
    sampled = time.monotonic() - sampled_from
    work = {"pages_s": round((after["memory_writes"] - before["memory_writes"]) / seconds, 1),
            "requests_s": round(replies / seconds, 1)}
    if not checkpoints:
        return work
    count = checkpoints() - count
    if not count:
        raise Failure(f"no checkpoint was taken in {sampled:.0f} s")
    every = [length for length, times in histogram for _ in range(times)]
    lengths = every[max(0, len(every) - count):]
    return {"checkpoints": count, "checkpoints_s": round(count / sampled, 2),
            "pause_p50_ms": lengths[len(lengths) // 2] / 1000, "pause_p99_ms": lengths[len(lengths) * 99 // 100] / 1000,
            "stopped_percent": round(sum(lengths) / sampled / 10000, 1),
            "kb_per_checkpoint": round(bytes_sent * sampled / seconds / count / 1000, 1), **work}


def kill(bed: Testbed) -> Optional[float]:
    """Seconds from hostA's silent death to the client's next reply, None: none came in time."""
    client = bed.the_client()
    killed = bed.a.kill()
    acked = client.acked()
    try:
        # More than what may have been on its way.
        wait_until("the client has replies", lambda: client.acked() >= acked + 5, PATIENCE, 0.05)
    except Failure:
        return None
    return round(client.stats(killed)["gap_end"] - killed, 2)
