# SPDX-License-Identifier: GPL-2.0-or-later
"""The newer copy wins: what administrators and boot scripts do after a failure overwrites nothing
that may be newer, or that is not ours, and starts no stale guest. Each refusal names the command
that resolves it, and that command does."""
import re
import subprocess
import time
from typing import Any

from haven_e2e import paths
from haven_e2e.host import Host
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


def protected(lab: Lab, epochs: int = 10, **policy: Any) -> None:
    lab.boot()
    lab.the_client().load()
    lab.prepare_backup(**policy)
    lab.protect()
    lab.wait_for_epochs(epochs)


def refused(host: Host, *words: object) -> str:
    done = host.haven(*words)
    if done.returncode != 1 or not done.stderr.strip():
        raise Failure(f"haven {' '.join(map(str, words))}: status {done.returncode}, says {done.stderr!r} {done.stdout!r}; a refusal was due")
    return done.stderr.strip()


def protect_is_refused(lab: Lab, *parts: str) -> str:
    why = refused(lab.primary, "protect", lab.spec.name, "--to", f"{lab.backup.address}:7789")
    for part in parts:
        if part not in why:
            raise Failure(f"the refusal lacks {part!r}: {why}")
    return why


def run_what_it_says(host: Host, text: str, command: str) -> None:
    """The command as the refusal prints it, answered with yes."""
    found = re.search(rf"haven {command}(?: --cold)? [\w.-]+", text)
    if not found:
        raise Failure(f"no `haven {command}` in: {text}")
    done = host.haven(*found.group(0).split()[1:], answer="yes\n")
    if done.returncode != 0:
        raise Failure(f"{found.group(0)}: {done.stderr.strip() or done.stdout.strip()}")


def promoted_and_off(lab: Lab) -> dict[str, bytes]:
    """The primary is killed, the backup runs the guest, which is powered off: what its disks hold then."""
    protected(lab)
    lab.expect_failover(lab.primary.kill_qemu())
    lab.check_everything()
    lab.shut_down_and_fsck()
    lab.swap_roles()
    return {name: path.read_bytes() for name, path in lab.backup.disk_paths.items()}


def unchanged(lab: Lab, disks: dict[str, bytes]) -> None:
    for name, path in lab.backup.disk_paths.items():
        if path.read_bytes() != disks[name]:
            raise Failure(f"the newer replica {path} has been written to")


def held(host: Host, *parts: str) -> str:
    """The guest is up, does not run, and says why."""
    def says() -> str:
        entry = host.status()
        if entry and entry["state"] == "held" and all(part in entry["message"] for part in parts):
            return str(entry["message"])
        return ""
    message = str(wait_until(f"{host.name} holds the guest and says {parts}", says, 20, every=0.2))
    if host.guest_status() == "running":
        raise Failure("a guest that is held runs")
    with host.qmp() as monitor:
        try:
            monitor("cont")
        except Exception:  # pylint: disable=broad-except
            pass
    if host.guest_status() == "running":
        raise Failure("`cont` runs a guest that is held")
    return message


@case("an old primary does not run, and does not overwrite the promoted copy that is switched off",
      short=True)
def old_primary(lab: Lab, t: Notes) -> None:
    newer = promoted_and_off(lab)
    lab.primary.start_primary()
    why = held(lab.primary, "is newer", "haven discard")
    protect_is_refused(lab, "is newer", f"haven discard {lab.spec.name}")
    unchanged(lab, newer)
    t(says=f"'{why[:60]}'")
    entry = lab.backup.status()
    if not entry or entry["newer"] != "backup":
        raise Failure(f"haven status on the backup does not say that it is newer: {entry}")
    run_what_it_says(lab.primary, why, "discard")
    held(lab.primary, "thrown away")


@case("the newer copy is thrown away only by the command that the refusal prints")
def discard_newer(lab: Lab, t: Notes) -> None:
    promoted_and_off(lab)
    lab.primary.start_primary()
    why = held(lab.primary, "is newer")
    done = lab.backup.haven("discard", lab.spec.name, answer="no\n")
    if done.returncode != 1 or "generation" not in done.stdout:
        raise Failure(f"haven discard answered with no: {done.returncode} {done.stdout!r} {done.stderr!r}")
    held(lab.primary, "is newer")
    run_what_it_says(lab.backup, why, "discard")
    wait_until("the old primary runs", lambda: lab.primary.guest_status() == "running", 30)
    lab.protect()
    t(newer=(lab.primary.status() or {}).get("newer"))


@case("a checkpoint waits for a person when its primary is started anew, with an empty disk or its own",
      short=True)
def checkpoint_waits(lab: Lab, t: Notes) -> None:
    protected(lab, promote="manual")
    killed = lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "primary-lost", 15)
    epoch = (lab.backup.status() or {})["epoch"]
    old = dict(lab.primary.disk_paths)
    lab.primary.disk_paths = {}
    lab.primary.make_disks(filled=True)
    lab.primary.start_primary()
    why = protect_is_refused(lab, f"epoch {epoch}", "haven failover", "haven discard")
    lab.primary.reap()
    lab.primary.disk_paths = old
    lab.primary.start_primary()
    held(lab.primary, f"epoch {epoch}", "haven failover")
    if (lab.backup.status() or {})["epoch"] != epoch or lab.backup.state() != "primary-lost":
        raise Failure(f"the checkpoint is gone: {lab.backup.status()}")
    run_what_it_says(lab.backup, why, "failover")
    lab.expect_failover(killed)
    held(lab.backup, "runs on the backup")  # roles have changed: the old primary
    report = lab.check_everything()
    t(epoch=epoch, lost=report["lost"])


@case("an old primary that is started while the promoted guest runs does not run beside it",
      short=True)
def beside(lab: Lab, t: Notes) -> None:
    protected(lab)
    lab.expect_failover(lab.primary.kill_qemu())
    lab.backup.start_primary()
    held(lab.backup, "runs on the backup")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if lab.running_copies() != [lab.primary.name]:
            raise Failure(f"the guest runs on {lab.running_copies()}")
        time.sleep(0.2)
    report = lab.check_everything()
    t(lost=report["lost"])


@case("a primary whose backup does not answer is held until it does, or until a person adopts it")
def nobody_answers(lab: Lab, t: Notes) -> None:
    protected(lab, promote="manual")
    lab.backup.stop_havend()
    lab.wait_for_state(lab.primary, "unprotected", 15)
    lab.primary.kill_qemu()
    lab.primary.start_primary()
    why = held(lab.primary, "does not say whether its copy is newer", "haven adopt")
    run_what_it_says(lab.primary, why, "adopt")
    wait_until("the guest runs", lambda: lab.primary.guest_status() == "running", 30)
    lab.primary.kill_qemu()
    lab.primary.start_primary()
    held(lab.primary, "does not say")
    lab.backup.start_havend()
    wait_until("the guest runs once the backup has answered", lambda: lab.primary.guest_status() == "running", 30)
    lab.protect()
    t(backup=lab.backup.state())


@case("somebody else's file is refused with its content and size, and overwritten once it is adopted",
      short=True)
def foreign(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load()
    theirs = lab.folder / "theirs.img"
    with open(theirs, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run([paths.tool("mke2fs"), "-q", "-F", "-t", "ext4", "-L", "theirs", str(theirs)], check=True)
    before = theirs.read_bytes()
    lab.backup.make_disks(filled=False)
    lab.backup.disk_paths["disk1"] = theirs
    lab.prepare_backup(fresh_disks=False)
    why = protect_is_refused(lab, str(theirs), "ext4", "theirs", str(64 << 20))
    if theirs.read_bytes() != before:
        raise Failure("somebody else's file was changed")
    run_what_it_says(lab.backup, why, "adopt")
    lab.protect()
    lab.wait_for_epochs(5)
    if theirs.stat().st_size != 16 << 20:
        raise Failure("the adopted replica has not followed the disk's size")
    t(says=f"'{why[:60]}'")


@case("a replica that another process uses, or a loop device, is refused")
def in_use(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.backup.make_disks(filled=False)
    lab.prepare_backup(fresh_disks=False)
    path = lab.backup.disk_paths["disk1"]
    holder = subprocess.Popen(["sleep", "1000"], stdin=open(path, "rb+"))
    try:
        why = protect_is_refused(lab, str(path), "sleep")
    finally:
        holder.kill()
        holder.wait()
    lab.protect()
    t(says=f"'{why[:70]}'")


@case("a replica that is missing is made only with create = yes")
def create(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.backup.make_disks(filled=False)
    missing = lab.backup.disk_paths["disk1"]
    missing.unlink()
    lab.prepare_backup(fresh_disks=False)
    why = protect_is_refused(lab, str(missing), "create = yes")
    if missing.exists():
        raise Failure("it was made all the same")
    lab.prepare_backup(fresh_disks=False, create="yes")
    lab.protect()
    t(says=f"'{why[:60]}'", mib=missing.stat().st_size >> 20)


@case("with the checkpoint gone the guest boots from its replicas, and the old primary is held",
      short=True)
def cold(lab: Lab, t: Notes) -> None:
    protected(lab, promote="manual")
    acked = lab.the_client().acked()
    lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "primary-lost", 15)
    lab.backup.stop_havend()
    lab.backup.start_havend(promote="manual")
    why = refused(lab.backup, "failover", lab.spec.name)
    done = lab.backup.haven("failover", "--cold", lab.spec.name, answer="no\n")
    if done.returncode != 1 or "epoch" not in done.stdout or "lost" not in done.stdout:
        raise Failure(f"haven failover --cold does not say what it loses: {done.stdout!r} {done.stderr!r}")
    run_what_it_says(lab.backup, why, "failover")
    wait_until("the guest boots on the backup", lambda: lab.backup.guest_status() == "running", 30)
    lab.swap_roles()
    client = lab.new_client()
    count = int(client.control("status")["count"])
    if count < acked:
        raise Failure(f"the guest's log has {count} entries, {acked} had been acknowledged with fsync")
    lab.backup.start_primary()
    held(lab.backup, "runs on the backup")
    t(count=count, acked=acked)


@case("havend that starts again does not replay its journal over a guest that it had promoted")
def no_replay(lab: Lab, t: Notes) -> None:
    newer = promoted_and_off(lab)
    state = lab.backup.state_dir / lab.spec.name
    lab.backup.stop_havend()
    # As after a crash of the host: the journal of a commit whose applied mark was not synced.
    lab.backup.start_havend()
    unchanged(lab, newer)
    record = subprocess.run([paths.ROOT / "tests/unit/guest-record-dump", state / "generation"], capture_output=True, text=True, check=True).stdout
    if "promoted" not in record or " primary " not in record:
        raise Failure(f"the record does not say that this copy was promoted: {record}")
    t(record=f"'{record[:40]}'")


@case("the promoted copy is protected back onto the old primary's disks, without a decision", short=True)
def back(lab: Lab, t: Notes) -> None:
    protected(lab)
    lab.expect_failover(lab.primary.kill_qemu())
    lab.prepare_backup(fresh_disks=False)
    lab.protect()
    lab.wait_for_epochs(10)
    t(**lab.survive_the_kill())
    lab.shut_down_and_fsck()
