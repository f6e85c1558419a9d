# SPDX-License-Identifier: GPL-2.0-or-later
"""What can grow has a figure and a limit beside it in `haven status --json`, is kept to that, and comes down again."""
from typing import Any

from haven_e2e.host import PORT
from haven_e2e.lab import Lab
from haven_e2e.network import REPLICATION
from haven_e2e.processes import Failure, kill_pid, wait_until
from haven_e2e.scenario import Notes, case

PATIENCE_MS = 5000  # heartbeats share a slow link
SILENT = """
import socket, time
kept = [socket.create_connection(("{host}", {port})) for _ in range({count})]
time.sleep(600)
"""


def figures(entry: "dict[str, Any] | None", names: list[str]) -> dict[str, int]:
    """Each below its limit."""
    if entry is None:
        raise Failure("haven status says nothing of it")
    found = {}
    for figure, limit in [name.split("<") for name in names]:
        found[figure] = int(entry[figure])
        if not 0 <= found[figure] <= int(entry[limit]) or int(entry[limit]) == 0:
            raise Failure(f"{figure} is {entry[figure]}, {limit} {entry[limit]}")
    return found


def require(entry: "dict[str, Any] | None", **wanted: int) -> None:
    for name, value in wanted.items():
        if entry is None or entry[name] != value:
            raise Failure(f"{name} is {entry and entry[name]}, {value} was asked for")


@case("figures and limits are side by side, and half-open connections are counted up and down", short=True)
def shown(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.prepare_backup(journal_limit_mb=64, half_open_limit=16)
    before = lab.backup.havend_status()
    lab.protect(output_limit=2, lag_limit=20)
    lab.wait_for_epochs(20)
    primary, backup, havend = lab.primary.status(), lab.backup.status(), lab.backup.havend_status()
    require(primary, output_limit_bytes=2 << 20, commit_lag_limit_us=20_000_000)
    require(backup, journal_limit_bytes=64 << 20)
    require(havend, half_open_limit=16)
    seen = {**figures(primary, ["output_held_bytes<output_limit_bytes", "commit_lag_us<commit_lag_limit_us"]),
            **figures(backup, ["journal_bytes<journal_limit_bytes"]),
            **figures(havend, ["descriptors<descriptors_limit", "threads<threads_limit"])}
    if seen["descriptors"] <= before["descriptors"] or seen["threads"] <= before["threads"]:
        raise Failure(f"a session of {before} is {seen}")
    silent = lab.processes.start("silent", ["python3", "-c", SILENT.format(
        host=REPLICATION["hostB"], port=PORT, count=40)], netns="hostA")
    most = 0

    def full() -> bool:
        nonlocal most
        most = max(most, figures(lab.backup.havend_status(), ["half_open<half_open_limit"])["half_open"])
        return most == 16
    wait_until("as many silent connections as may be are counted", full, 30)
    kill_pid(silent.pid)
    wait_until("none is counted any more", lambda: lab.backup.havend_status()["half_open"] == 0, 30)
    t(half_open=most, **seen, **lab.survive_the_kill())


@case("a link that is too slow ends protection at the limit of a commit's lag, and protection comes back")
def lag(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.backup.make_disks(filled=False)
    lab.backup.start_havend(deadline_ms=PATIENCE_MS)
    lab.primary.protect(lab.backup, deadline_ms=PATIENCE_MS, lag_limit=2)
    lab.the_client().load(memory_pages_s=20000, memory_pages=8192)
    lab.wait_for_epochs(5)
    assert lab.network
    lab.network.slow_down("hostA", "rep", 1)
    most = 0

    def ended() -> bool:
        nonlocal most
        entry = lab.primary.status() or {}
        most = max(most, int(entry["commit_lag_us"]))
        return "--lag-limit" in entry["message"] + lab.backup.havend_log()
    wait_until("protection ends, with the limit as the reason", ended, 120, every=0.1)
    lab.network.slow_down("hostA", "rep", 1000)
    lab.wait_for_state(lab.primary, "protected", 120)
    lab.wait_for_epochs(5)
    after = figures(lab.primary.status(), ["commit_lag_us<commit_lag_limit_us"])
    lab.the_client().wait_for_progress(20, 60)
    t(lag_ms=most // 1000, afterwards_ms=after["commit_lag_us"] // 1000, **lab.survive_the_kill())
