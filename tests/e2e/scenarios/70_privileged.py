# SPDX-License-Identifier: GPL-2.0-or-later
"""What needs more of the machine than a user name space gives: block devices and
vhost. Skipped, with the reason, where they are not to be had."""
import os
import subprocess
from pathlib import Path

from haven_e2e import paths, sandbox
from haven_e2e.guest import MIB, GuestSpec
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, Skip, wait_until
from haven_e2e.scenario import Notes, case


def loop_device(path: Path) -> str:
    if not sandbox.is_real_root():
        raise Skip("a loop device needs root")
    done = subprocess.run([paths.tool("losetup"), "--find", "--show", "--direct-io=off", str(path)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"no loop device: {done.stderr.strip()}")
    return done.stdout.strip()


def discards_reach(lab: Lab, files: dict[str, Path]) -> None:
    """A part of disk1 that the load does not use; `files`: what holds it, on each host."""
    part = f"/dev/vdb {8 * MIB} {8 * MIB}"
    for operation, full in (("write", True), ("discard", False)):
        lab.the_client().control(f"disk {operation} {part} 1")

        def followed() -> bool:
            os.sync()  # a device's cache is not in its file yet
            return all((path.stat().st_blocks * 512 >= 8 * MIB) == full for path in files.values())
        wait_until(f"disk1 is {'full' if full else 'empty'} again on both hosts", followed, 15, 0.5)


@case("block devices as disks, on both hosts")
def block_devices(lab: Lab, t: Notes) -> None:
    devices: list[str] = []
    files: dict[str, Path] = {}

    def on_devices(filled: bool, host: object) -> None:
        host.make_disks(filled=filled)  # type: ignore[attr-defined]
        files[host.name] = host.disk_paths["disk1"]  # type: ignore[attr-defined]
        for name, path in host.disk_paths.items():  # type: ignore[attr-defined]
            devices.append(loop_device(path))
            host.disk_paths[name] = Path(devices[-1])  # type: ignore[attr-defined]
    try:
        on_devices(True, lab.primary)
        lab.boot(fresh_disks=False)
        on_devices(False, lab.backup)
        lab.prepare_backup(fresh_disks=False)
        lab.protect()
        discards_reach(lab, files)
        lab.the_client().load()
        lab.wait_for_epochs(10)
        t(**lab.survive_the_kill())
        lab.shut_down_and_fsck()
    finally:
        for host in lab.hosts.values():
            host.stop_havend()
            host.reap()
        for device in devices:
            subprocess.run([paths.tool("losetup"), "--detach", device], check=False)


class VhostSpec(GuestSpec):
    def argv(self, *arguments: object) -> list[str]:
        words = super().argv(*arguments)  # type: ignore[arg-type]
        return [word + ",vhost=on" if word.startswith("tap,") else word for word in words]


@case("vhost is refused with the reason", spec=VhostSpec)
def vhost(lab: Lab, t: Notes) -> None:
    if not os.access("/dev/vhost-net", os.R_OK | os.W_OK):
        raise Skip("there is no /dev/vhost-net to use")
    lab.boot()
    lab.prepare_backup()
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:7789")
    if done.returncode == 0 or "vhost" not in done.stderr:
        raise Failure(f"status {done.returncode}, stderr {done.stderr!r}; vhost was to be refused")
    t(says=f"'{done.stderr.strip()[:60]}'")
    lab.the_client().wait_for_progress(20, 10)
