# SPDX-License-Identifier: GPL-2.0-or-later
"""Links that lose every packet without a trace: no FIN, no RST, the carrier stays.

With both links of both hosts cut each side sees only silence. An arbiter that both
reach decides, and exactly one copy of the guest may run, whoever wins; the client's
connection goes on when its network is back. The arbiter is a folder (tests/e2e/arbiter);
it can be told whom to prefer."""
import os
import signal
import time
from pathlib import Path

from haven_e2e import paths
from haven_e2e.client import QUIET
from haven_e2e.lab import Lab
from haven_e2e.network import HOSTS, LINKS
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


def protected_with_arbiter(lab: Lab) -> Path:
    folder = lab.folder / "arbiter"
    folder.mkdir()

    def command(name: str) -> str:
        return f"{paths.ARBITER} {folder} {name}"
    lab.boot(stall=30)
    lab.the_client().load()
    lab.prepare_backup(arbiter=command("hostB"))
    lab.protect(arbiter=command("hostA"))
    lab.wait_for_epochs(10)
    return folder


def cut_everything(lab: Lab) -> float:
    assert lab.network
    for host in HOSTS:
        for link in LINKS:
            lab.network.cut(host, link)
    return time.monotonic()


def winner_of(folder: Path) -> str:
    def winner() -> str:
        return "".join(path.read_text().strip() for path in folder.glob("claim-*/winner"))
    return str(wait_until("one side has asked the arbiter and won", winner, 15))


def require_one_copy(lab: Lab, winner: str, seconds: float) -> None:
    wait_until(f"the guest runs on {winner} and only there",
               lambda: lab.running_copies() == [winner], 15, every=0.1)
    end, absent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        running = lab.running_copies()
        # A checkpoint may stop the winner just when it is asked; the loser never runs.
        absent = 0 if winner in running else absent + 1
        if set(running) - {winner} or absent > 5:
            raise Failure(f"the guest runs on {running or 'no host'}, the arbiter said {winner}")
        time.sleep(0.1)


def cut_and_heal(lab: Lab, folder: Path, t: Notes) -> str:
    client = lab.the_client()
    acked = client.acked()
    cut_everything(lab)
    winner = winner_of(folder)
    require_one_copy(lab, winner, 2)
    assert lab.network
    for host in HOSTS:
        lab.network.heal(host, "lan")
    client.wait_for_progress(50, 30)
    for host in HOSTS:
        lab.network.heal(host, "rep")
    require_one_copy(lab, winner, 3)
    if winner == lab.backup.name:
        lab.swap_roles()
    report = lab.check_everything()
    t(winner=winner, acked_before=acked, acked=report["acked"], lost=report["lost"])
    return winner


def prefer(folder: Path, name: str) -> None:
    (folder / "prefer").write_text(name + "\n")


@case("both links cut: whoever wins, one copy runs", short=True)
def race(lab: Lab, t: Notes) -> None:
    cut_and_heal(lab, protected_with_arbiter(lab), t)
    lab.shut_down_and_fsck()


@case("both links cut, the arbiter prefers the primary")
def primary_wins(lab: Lab, t: Notes) -> None:
    folder = protected_with_arbiter(lab)
    prefer(folder, "hostA")
    if cut_and_heal(lab, folder, t) != "hostA":
        raise Failure("the backup promoted itself although it lost")


@case("both links cut, the arbiter prefers the backup")
def backup_wins(lab: Lab, t: Notes) -> None:
    folder = protected_with_arbiter(lab)
    prefer(folder, "hostB")
    if cut_and_heal(lab, folder, t) != "hostB":
        raise Failure("the primary went on although it lost")
    lab.shut_down_and_fsck()


@case("only the replication link cut: the guest goes on and is protected again", short=True)
def replication_only(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load()
    lab.prepare_backup(promote="manual")
    lab.protect()
    lab.wait_for_epochs(10)
    assert lab.network
    lab.network.cut("hostB", "rep")
    when = time.monotonic()
    lab.wait_for_state(lab.primary, "unprotected", 10)
    client.wait_for_progress(50, 15)
    gap_ms = client.stats(after=when)["longest_gap_ms"]
    lab.network.heal("hostB", "rep")
    lab.wait_for_state(lab.primary, "protected", 40)
    client.load()
    lab.wait_for_epochs(20)
    killed_at = lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "primary-lost", 10)
    done = lab.backup.haven("failover", lab.spec.name)
    if done.returncode != 0:
        raise Failure(f"haven failover: {done.stderr.strip()}")
    failover_ms = lab.expect_failover(killed_at)
    report = lab.check_everything()
    t(gap_ms=round(gap_ms), failover_ms=round(failover_ms), lost=report["lost"])


@case("the primary's host vanishes without a word", short=True)
def silent_death(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load()
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(10)
    assert lab.network
    when = time.monotonic()
    for link in LINKS:
        lab.network.cut("hostA", link)
    lab.primary.kill_qemu()
    failover_ms = lab.expect_failover(when)
    report = lab.check_everything()
    t(failover_ms=round(failover_ms), lost=report["lost"])
    lab.shut_down_and_fsck()


def freeze_and_thaw(lab: Lab, t: Notes) -> None:
    client, pid = lab.the_client(), lab.primary.qemu_pid()
    assert pid
    when = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    failover_ms = lab.expect_failover(when)
    os.kill(pid, signal.SIGCONT)
    client.wait_for_progress(50, 20)
    require_one_copy(lab, lab.primary.name, 3)
    report = lab.check_everything()
    t(failover_ms=round(failover_ms), lost=report["lost"])


@case("a primary that froze and wakes up does not run on", short=True)
def frozen_primary(lab: Lab, t: Notes) -> None:
    protected_with_arbiter(lab)
    freeze_and_thaw(lab, t)


@case("a primary that froze asks the backup before anything leaves, without an arbiter too", short=True)
def frozen_primary_alone(lab: Lab, t: Notes) -> None:
    lab.boot(stall=30)
    lab.the_client().load(chatter_s=100)
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(10)
    freeze_and_thaw(lab, t)
    lab.wait_for_state(lab.backup, "lost", 5)


@case("a backup that froze costs protection, not the guest", short=True)
def frozen_backup(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load()
    lab.prepare_backup(promote="manual")
    lab.protect()
    lab.wait_for_epochs(10)
    when, pid = time.monotonic(), lab.backup.havend_pid()
    os.kill(pid, signal.SIGSTOP)
    lab.wait_for_state(lab.primary, "unprotected", 10)
    client.wait_for_progress(50, 15)
    gap_ms = client.stats(after=when)["longest_gap_ms"]
    os.kill(pid, signal.SIGCONT)
    lab.wait_for_state(lab.primary, "protected", 40)
    client.require_clean()
    report = lab.check_everything()
    t(gap_ms=round(gap_ms), lost=report["lost"])


@case("a replication link of 50 Mbit/s slows the guest and loses nothing")
def slow_link(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load(memory_pages_s=300, disk_threads=1, disk_ops_s=20)
    lab.prepare_backup()
    assert lab.network
    lab.network.slow_down("hostA", "rep", 50)
    lab.protect(seconds=110)
    lab.wait_for_epochs(10, 60)
    client.wait_for_progress(50, 30)
    failover_ms = lab.expect_failover(lab.primary.kill_qemu(), within=30)
    report = lab.check_everything()
    t(failover_ms=round(failover_ms), acked=report["acked"], lost=report["lost"])


@case("what goes over a link of 100 Mbit/s is compressed")
def slow_link_compressed(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load(**{**QUIET, "chatter_s": 20})
    lab.prepare_backup()
    assert lab.network
    lab.network.slow_down("hostA", "rep", 100)
    lab.protect(encoder="compression", seconds=110)
    lab.wait_for_epochs(100, 60)  # far from the initial copy
    seen: dict[int, tuple[int, int]] = {}
    while len(seen) < 40:
        status = lab.primary.status() or {}
        seen[int(status["epoch"])] = (int(status["encoder_bytes"]), int(status["dirty_pages_last"]))
    part = sum(octets for octets, _ in seen.values()) / (4104 * sum(pages for _, pages in seen.values()))
    lab.check_everything()
    t(epochs=len(seen), part_of_whole=round(part, 2))
    assert part < 0.5, f"{part:.2f} of whole pages were sent"
