# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest under load is measured for `scripts/bench xen`: what it and its client get done,
and how it is stopped.

Pauses are what a sampler in the guest sees: it sleeps for a millisecond again and again and
keeps how much longer it took. Of a window with N checkpoints the N longest count."""
import os
import sys
import time
from typing import Any, Optional

from .bed import Testbed
from .haven import status
from haven_e2e.processes import Failure, wait_until

WINDOW = int(os.environ.get("HAVEN_BENCH_SECONDS", "30"))
INTERVALS = (100, 25)  # ms
LOAD = {"memory_pages_s": 1000, "memory_pages": 2048, "disk_threads": 0, "disk_ops_s": 0, "chatter_s": 5}
SAMPLE_US = 1000
# Of a pause, as HAVEN itself sees them; commit is from the cut to COMMITTED.
PARTS = ("pause", "stop", "device", "harvest", "copy", "resume", "settle", "commit")
# No noise of an idle host is as long, and every pause of Remus is longer.
REMUS_PAUSE_US = 20000
# A request is an fsync on an emulated IDE disk, which stops the guest for longer than a
# checkpoint does: few while pauses are measured.
CLIENT = {"rate": 2, "stall": 300}
PATIENCE = 50  # seconds for the first reply after a host's death


def say(text: str) -> None:
    print(f"bench xen: {text}", file=sys.stderr, flush=True)


def window(bed: Testbed, count_epochs: bool = False) -> "dict[str, Any]":
    """What the guest and its client got done in WINDOW seconds, and how it was stopped."""
    client = bed.the_client()
    client.control(f"stalls {SAMPLE_US}")
    sampled_from = time.monotonic()
    epochs = int(status(bed.a)["epoch"]) if count_epochs else 0
    before, acked, sent, begin = client.control("status"), client.acked(), bed.sent_by(bed.a), time.monotonic()
    time.sleep(WINDOW)
    after, replies, bytes_sent = client.control("status"), client.acked() - acked, bed.sent_by(bed.a) - sent
    seconds = time.monotonic() - begin
    histogram = client.control(f"stalls {SAMPLE_US}")["stalls"]
    # A guest that gets nothing done answers late, and samples until then.
    sampled = time.monotonic() - sampled_from
    now = status(bed.a) if count_epochs else {}
    epochs = int(now["epoch"]) - epochs if count_epochs else 0
    lengths = pauses(histogram, epochs if count_epochs else None)
    count = len(lengths)
    work = {"pages_s": round((after["memory_writes"] - before["memory_writes"]) / seconds, 1),
            "requests_s": round(replies / seconds, 1)}
    if not count:
        return work
    return {"checkpoints": count, "checkpoints_s": round(count / sampled, 2),
            "pause_p50_ms": lengths[count // 2] / 1000, "pause_p99_ms": lengths[count * 99 // 100] / 1000,
            "stopped_percent": round(sum(lengths) / sampled / 10000, 1),
            "kb_per_checkpoint": round(bytes_sent * sampled / seconds / count / 1000, 1), **work,
            **{f"own_{part}_p50_ms": now[f"{part}_p50_us"] / 1000 for part in PARTS if now}}


def stalls(bed: Testbed, seconds: float) -> "list[list[int]]":
    client = bed.the_client()
    client.control(f"stalls {SAMPLE_US}")
    time.sleep(seconds)
    return list(client.control(f"stalls {SAMPLE_US}")["stalls"])


def pauses(histogram: "list[list[int]]", count: Optional[int]) -> "list[int]":
    """Microseconds, ascending: the `count` longest; None: those that only Remus makes."""
    every = [length for length, times in histogram for _ in range(times)]
    if count is None:
        return [length for length in every if length >= REMUS_PAUSE_US]
    return every[max(0, len(every) - count):]


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
