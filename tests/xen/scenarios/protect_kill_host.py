# SPDX-License-Identifier: GPL-2.0-or-later
"""The product: a guest without PV drivers is protected while it runs under load; the whole
primary host dies silently; the guest goes on at the backup, by a stock xl.

Each host has disks of its own. Nothing acknowledged is lost, the client's TCP connection
goes on, memory agrees with the disks, and one copy runs."""
import dataclasses
import json
import shlex
import time

from haven_xen import places, steps
from haven_xen.bed import Testbed
from haven_xen.guest import LOCAL, PATCHED, XenGuest
from haven_xen.host import Host
from haven_e2e.processes import Failure, Skip, wait_until
from haven_e2e.scenario import Notes

SECONDS = 2400
PORT = 7789
# An emulated host on a busy machine may stand still for seconds.
DEADLINE_MS = 10000
PROTECTED_SECONDS = 30
HAVEN = shlex.quote(str(places.PREFIX / "bin" / "haven"))
HAVEND = shlex.quote(str(places.PREFIX / "sbin" / "havend"))


def backup_config(address: str) -> str:
    disks = "".join(f"disk.ide0-hd{n} = {path}\n" for n, path in enumerate(LOCAL))
    return (f"[havend]\nlisten = {address}:{PORT}\ninsecure = yes\nstate-dir = /data/haven\n\n"
            f"[guest web1]\nxl-config = /root/web1.cfg\n{disks}"
            f"promote = auto\narbiter = none\ndeadline-ms = {DEADLINE_MS}\n")


def start_backup(host: Host, guest: XenGuest) -> None:
    host.write_config(guest)
    host.agent.put("/root/havend.conf", backup_config(host.address))
    host.agent.spawn(f"{HAVEND} --config /root/havend.conf --foreground", "/var/log/havend.log")
    port = f":{PORT:04X} "
    wait_until("havend listens", lambda: port in host.agent.check("cat /proc/net/tcp"), steps.PATIENCE, 0.5)


def status(host: Host) -> dict[str, object]:
    answer = json.loads(host.agent.check(f"{HAVEN} status web1 --json", seconds=60))
    return dict(answer["guests"][0])


def protect(bed: Testbed) -> float:
    command = (f"{HAVEN} protect web1 --to {bed.b.address}:{PORT} --interval 200 "
               f"--deadline {DEADLINE_MS}")
    begin = time.monotonic()
    done = bed.a.agent.run(command, seconds=600)
    if done.status:
        raise Failure(f"haven protect: {done.err.strip() or done.out.strip()}")
    return round(time.monotonic() - begin, 1)


def run(bed: Testbed, t: Notes) -> None:
    if not (places.PREFIX / "libexec" / "haven" / "qemu-dm").exists():
        raise Skip("the patched device model is not built")
    guest = XenGuest(disks=list(LOCAL)).with_model(PATCHED)
    bed.local_disks(bed.a, filled=True)
    bed.local_disks(bed.b, filled=False)
    start_backup(bed.b, dataclasses.replace(guest))
    t(**steps.boot(bed, guest))
    t(protect_s=protect(bed))
    bed.the_client().load(memory_pages_s=200, memory_pages=512, disk_threads=1, disk_ops_s=5, chatter_s=5)
    before = status(bed.a)
    time.sleep(PROTECTED_SECONDS)
    after = status(bed.a)
    if after["state"] != "protected":
        raise Failure(f"the guest is not protected under load: {after['state']}, {after.get('message')}")
    epochs = int(str(after["epoch"])) - int(str(before["epoch"]))
    t(epochs_per_s=round(epochs / PROTECTED_SECONDS, 2), pause_p50_us=after["pause_p50_us"],
      pause_p99_us=after["pause_p99_us"])

    killed = time.monotonic()
    bed.a.kill()
    wait_until("the guest runs on hostB", lambda: bed.b.runs(guest.name), 2 * steps.PATIENCE, 0.5)
    t(runs_again_s=round(time.monotonic() - killed, 1))
    steps.still_answers(bed)
    t(answers_again_s=round(time.monotonic() - killed, 1))
    bed.the_client().verify_guest()
    if bed.running_copies(guest) != ["hostB"]:
        raise Failure(f"the guest runs on {bed.running_copies(guest)}")
    t(failover_ms=status(bed.b).get("failover_ms"))
