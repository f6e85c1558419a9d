# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator does with a protected guest, and what it may look like."""
import json
import time
from typing import Any

from haven_e2e.guest import Disk, GuestSpec
from haven_e2e.host import PORT
from haven_e2e.lab import DEADLINE_MS, Lab
from haven_e2e.processes import Failure, kill_pid, wait_until
from haven_e2e.qmp import QmpError
from haven_e2e.scenario import Notes, case


def protected(lab: Lab, **policy: Any) -> None:
    lab.boot()
    lab.the_client().load()
    lab.prepare_backup(**policy)
    lab.protect()
    lab.wait_for_epochs(10)


def fail_over_and_check(lab: Lab, t: Notes) -> None:
    t(**lab.survive_the_kill())
    lab.shut_down_and_fsck()


@case("unprotect and protect again while the guest runs")
def again(lab: Lab, t: Notes) -> None:
    protected(lab)
    for _ in range(2):
        done = lab.primary.haven("unprotect", lab.spec.name)
        if done.returncode != 0:
            raise Failure(f"haven unprotect: {done.stderr.strip()}")
        lab.the_client().wait_for_progress(50, 10)
        lab.protect()
        lab.wait_for_epochs(10)
    fail_over_and_check(lab, t)


@case("a guest that its own command line protects from its start")
def from_start(lab: Lab, t: Notes) -> None:
    lab.prepare_backup()  # which has no such device: it would be protected by itself
    lab.primary.spec.extra = ["-device", f"haven-protect,host={lab.backup.address},port={PORT},"
                                         f"interval-ms=20,deadline-ms={DEADLINE_MS}"]
    lab.boot()
    lab.the_client().load()
    lab.wait_for_state(lab.primary, "protected", 30)
    lab.wait_for_epochs(10)
    fail_over_and_check(lab, t)


@case("a guest that powers off is not brought back by the backup", short=True)
def powered_off(lab: Lab, t: Notes) -> None:
    protected(lab)
    client, pid = lab.the_client(), lab.primary.qemu_pid()
    assert pid
    client.ask("pause")
    client.control("finish")
    client.control("poweroff")
    lab.primary.wait_for_qemu_death(pid, 30)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        if lab.running_copies():
            raise Failure("the backup runs a guest that had powered off")
        time.sleep(0.2)
    t(backup=lab.backup.state())
    problem = lab.primary.check_filesystem()
    if problem:
        raise Failure(problem)


@case("with promote = manual the backup waits for haven failover")
def manual(lab: Lab, t: Notes) -> None:
    protected(lab, promote="manual")
    killed_at = lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "primary-lost", 10)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if lab.running_copies():
            raise Failure("the backup promoted itself although its policy is manual")
        time.sleep(0.2)
    ordered = time.monotonic()
    done = lab.backup.haven("failover", lab.spec.name)
    if done.returncode != 0:
        raise Failure(f"haven failover: {done.stderr.strip()}")
    lab.expect_failover(killed_at)
    report = lab.check_everything()
    t(after_order_ms=round((time.monotonic() - ordered) * 1000), lost=report["lost"])


@case("haven failover is refused while the primary answers, and obeyed with --force")
def forced(lab: Lab, t: Notes) -> None:
    protected(lab, promote="manual")
    done = lab.backup.haven("failover", lab.spec.name)
    if done.returncode != 1 or not done.stderr.strip():
        raise Failure(f"status {done.returncode}, stderr {done.stderr!r}; a refusal was due")
    ordered = time.monotonic()
    done = lab.backup.haven("failover", lab.spec.name, "--force")
    if done.returncode != 0:
        raise Failure(f"haven failover --force: {done.stderr.strip()}")
    wait_until("the guest runs on hostB only", lambda: lab.running_copies() == ["hostB"], 15)
    lab.the_client().wait_for_progress(20, 20)
    lab.swap_roles()
    report = lab.check_everything()
    t(seconds=round(time.monotonic() - ordered, 1), lost=report["lost"])


@case("haven failover --planned hands a running guest over without a loss", short=True)
def planned(lab: Lab, t: Notes) -> None:
    protected(lab, promote="manual")
    ordered = time.monotonic()
    done = lab.backup.haven("failover", lab.spec.name, "--planned")
    if done.returncode != 0:
        raise Failure(f"haven failover --planned: {done.stderr.strip()}")
    wait_until("the guest runs on hostB only", lambda: lab.running_copies() == ["hostB"], 15)
    lab.the_client().wait_for_progress(20, 20)
    gap = lab.the_client().stats(ordered)["longest_gap_ms"]
    state = lab.primary.status()
    if not state or state["state"] != "lost" or "handed over" not in state["message"]:
        raise Failure(f"the old primary says: {state}")
    lab.swap_roles()
    report = lab.check_everything()
    t(gap_ms=round(gap), lost=report["lost"])


def mixed_disks() -> GuestSpec:
    return GuestSpec(disks=[Disk("disk0", 48, {"hostA": "qcow2"}), Disk("disk1", 16),
                            Disk("disk2", 8, {"hostA": "qcow2"})])


@case("three disks, qcow2 and raw", spec=mixed_disks)
def formats(lab: Lab, t: Notes) -> None:
    protected(lab)
    fail_over_and_check(lab, t)


@case("disks that are replicated durably")
def durable(lab: Lab, t: Notes) -> None:
    protected(lab, disk_ack="durable")
    fail_over_and_check(lab, t)


@case("an e1000 network card", spec=lambda: GuestSpec(nic="e1000"))
def e1000(lab: Lab, t: Notes) -> None:
    protected(lab)
    fail_over_and_check(lab, t)


@case("IDE disks", spec=lambda: GuestSpec(ide=True))
def ide(lab: Lab, t: Notes) -> None:
    protected(lab)
    fail_over_and_check(lab, t)


@case("two virtual processors", spec=lambda: GuestSpec(vcpus=2))
def two_processors(lab: Lab, t: Notes) -> None:
    protected(lab)
    fail_over_and_check(lab, t)


@case("killed during the first copy: the backup has nothing to start from and says so", short=True)
def first_copy(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load()
    lab.prepare_backup()
    assert lab.network
    lab.network.slow_down("hostA", "rep", 40)
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:7789", "--no-wait")
    if done.returncode != 0:
        raise Failure(f"haven protect --no-wait: {done.stderr.strip()}")
    lab.wait_for_state(lab.primary, "syncing", 10)
    lab.primary.kill_qemu()
    time.sleep(3)
    if lab.running_copies():
        raise Failure("the backup runs a guest of which it had only a part")
    done = lab.backup.haven("failover", lab.spec.name, "--force")
    if done.returncode != 1 or not done.stderr.strip():
        raise Failure(f"haven failover --force: status {done.returncode}, {done.stderr!r}; a refusal was due")
    t(says=f"'{done.stderr.strip()[:70]}'", backup=lab.backup.state())


@case("hot-plugging while protected is refused or covered")
def hot_plug(lab: Lab, t: Notes) -> None:
    protected(lab)
    with lab.primary.qmp() as monitor:
        plugs: tuple[tuple[str, dict[str, Any]], ...] = (
                ("netdev_add", {"type": "socket", "id": "net9", "udp": "127.0.0.1:9",
                                "localaddr": "127.0.0.1:10"}),
                ("blockdev-add", {"driver": "null-co", "node_name": "disk9", "size": 1 << 20}),
                ("device_add", {"driver": "virtio-net-pci", "id": "nic9"}))
        for command, arguments in plugs:
            try:
                monitor(command, **arguments)
            except QmpError as error:
                t(**{command: f"'{str(error)[:40]}'"})
                continue
            if command == "device_add":
                raise Failure("a network card was added to a protected guest without a word")
    fail_over_and_check(lab, t)


@case("a second protect of a protected guest is refused with the reason")
def twice(lab: Lab, t: Notes) -> None:
    protected(lab)
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:7789")
    if done.returncode == 0 or not done.stderr.strip():
        raise Failure(f"status {done.returncode}, stderr {done.stderr!r}; a refusal was due")
    t(says=f"'{done.stderr.strip()[:60]}'")
    lab.wait_for_state(lab.primary, "protected", 5)
    lab.the_client().wait_for_progress(20, 10)
    lab.the_client().require_clean()


@case("with on-backup-loss = pause the guest waits for a backup")
def pause(lab: Lab, t: Notes) -> None:
    lab.boot(stall=30)
    client = lab.the_client()
    client.load()
    lab.prepare_backup()
    lab.protect(on_backup_loss="pause")
    lab.wait_for_epochs(10)
    lab.backup.stop_havend()
    lab.wait_for_state(lab.primary, "unprotected", 10)
    time.sleep(0.5)
    before = client.acked()
    time.sleep(2)
    if client.acked() != before:
        raise Failure("the guest's output left although the policy is to wait for a backup")
    lab.prepare_backup(fresh_disks=False)
    lab.wait_for_state(lab.primary, "protected", 40)
    client.wait_for_progress(50, 20)
    client.require_clean()
    fail_over_and_check(lab, t)


@case("a protected guest that reboots stays protected")
def reboot(lab: Lab, t: Notes) -> None:
    protected(lab)
    client = lab.the_client()
    client.ask("pause")
    acked = client.acked()
    client.control("finish")
    before = client.control("status")["boot_id"]
    client.control("reboot")
    # A question that the guest's old life took with it may cost longer than the boot.
    wait_until("the guest is up again",
               lambda: client.ask("control status").get("boot_id", before) != before, 120, 0.2)
    client = lab.new_client()
    if int(client.control("status")["count"]) < acked:
        raise Failure(f"the guest had acknowledged {acked} operations before it rebooted")
    lab.wait_for_state(lab.primary, "protected", 10)
    client.load()
    lab.wait_for_epochs(20)
    fail_over_and_check(lab, t)


@case("a guest that was paused by hand is still paused after a failover")
def paused(lab: Lab, t: Notes) -> None:
    protected(lab)
    with lab.primary.qmp() as monitor:
        monitor("stop")
    lab.wait_for_epochs(2)  # the second one began with the paused guest
    killed_at = lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "promoted", 15)
    status = lab.backup.guest_status()
    if status != "paused":
        raise Failure(f"the administrator had paused the guest, after the failover it is {status}")
    with lab.backup.qmp() as monitor:
        monitor("cont")
    lab.expect_failover(killed_at)
    report = lab.check_everything()
    t(lost=report["lost"])


@case("the waiting device model on the backup is replaced when it dies", short=True)
def waiting_dies(lab: Lab, t: Notes) -> None:
    protected(lab)
    pid_file = lab.backup.state_dir / lab.spec.name / "qemu.pid"
    pid = int(pid_file.read_text().split()[0])
    kill_pid(pid)
    wait_until("havend starts another one",
               lambda: pid_file.exists() and pid_file.read_text().split()[0] != str(pid), 10)
    lab.wait_for_state(lab.primary, "protected", 20)
    lab.wait_for_epochs(20)
    lab.the_client().require_clean()
    fail_over_and_check(lab, t)


@case("haven status tells people and programs the same", short=True)
def status(lab: Lab, t: Notes) -> None:
    protected(lab)
    entry = lab.primary.status()
    missing = [key for key in ("name", "role", "state", "epoch", "pause_p50_us", "pause_p99_us",
                               "memory_wire_bytes", "disk_wire_bytes", "lag_us")
               if key not in (entry or {})]
    if not entry or missing or entry["role"] != "primary" or entry["state"] != "protected":
        raise Failure(f"haven status --json lacks {missing}: {json.dumps(entry)[:300]}")
    backup = lab.backup.status()
    if not backup or backup["role"] != "backup" or backup["state"] != "protecting":
        raise Failure(f"the backup's haven status --json says {json.dumps(backup)[:300]}")
    text = lab.primary.haven("status").stdout
    if lab.spec.name not in text or "protected" not in text:
        raise Failure(f"haven status prints {text!r}")
    t(pause_p50_us=entry["pause_p50_us"], pause_p99_us=entry["pause_p99_us"])


@case("mistakes are answered by one sentence and a status")
def mistakes(lab: Lab, t: Notes) -> None:
    lab.boot()
    for words, wanted in ((("unprotect", "nobody"), 1), (("protect", lab.spec.name), 2),
                          (("failover", "nobody"), 1), (("frobnicate", "x"), 2),
                          (("protect", lab.spec.name, "--to", "10.78.0.2:1"), 1)):
        done = lab.primary.haven(*words, seconds=30)
        lines = done.stderr.strip().splitlines()
        if done.returncode != wanted or not lines or (wanted == 1 and len(lines) > 1):
            raise Failure(f"haven {' '.join(words)}: status {done.returncode} (not {wanted}), says "
                          f"{done.stderr!r}")
    lab.the_client().wait_for_progress(20, 10)
    lab.the_client().require_clean()
