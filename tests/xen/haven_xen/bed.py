# SPDX-License-Identifier: GPL-2.0-or-later
"""Both hosts, their links and the client. The hosts continue one saved host that was
booted once, so that a scenario begins seconds after it was asked for."""
import hashlib
import shutil
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from . import emulator, places
from .emulator import Disks, Emulator
from .guest import XenGuest
from .host import Host
from .links import Links
from haven_e2e import paths
from haven_e2e.client import Client
from haven_e2e.network import HOSTS
from haven_e2e.processes import Processes

SAVED = places.XEN / "saved"
# Everything that a saved host consists of: another one of these, another saved host.
SAVED_FROM = ("xen", "vmlinuz", "initrd", "dom0.img")


def saved_key() -> str:
    probe = Emulator("x", Path("/"), Processes(places.LOGS), _disks(Path("/"), []))
    words = [*probe.argv(), subprocess.run([places.emulator(), "--version"], text=True,
                                           capture_output=True).stdout]
    for name in SAVED_FROM:
        status = (places.XEN / name).stat()
        words.append(f"{name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def save_a_host(links_ready: Callable[[], object], say: Callable[[str], None]) -> None:
    """Boots one host, waits until it is idle, and keeps its state and disk."""
    key = saved_key()
    if (SAVED / "key").exists() and (SAVED / "key").read_text() == key:
        return
    shutil.rmtree(SAVED, ignore_errors=True)
    SAVED.mkdir(parents=True)
    say("booting Xen and dom0 once (their state is kept)")
    links_ready()
    emulator.make_overlay(SAVED / "root.qcow2", places.XEN / "dom0.img", "raw")
    for name, mib in (("payload", emulator.PAYLOAD_MIB), ("local", emulator.LOCAL_MIB),
                      ("shared0", emulator.SAN_MIB[0]), ("shared1", emulator.SAN_MIB[1])):
        emulator.make_image(SAVED / f"{name}.img", mib)
    disks = Disks(SAVED / "root.qcow2", SAVED / "payload.img",
                  [SAVED / "shared0.img", SAVED / "shared1.img"], SAVED / "local.img")
    processes = Processes(places.LOGS / "saved")
    machine = Emulator("hostA", SAVED, processes, disks)
    begin = time.monotonic()
    try:
        machine.start()
        host = Host(machine)
        host.agent.wait_until_up(300)
        host.agent.check("xl info; xl list; sync", seconds=120)
        say(f"dom0 answers after {time.monotonic() - begin:.0f} s; saving it")
        machine.save(SAVED / "state")
    except BaseException:
        processes.kill_all()
        raise
    (SAVED / "key").write_text(key)


def _disks(folder: Path, shared: list[Path], name: str = "x") -> Disks:
    return Disks(folder / f"{name}.root.qcow2", folder / "payload.img", shared,
                 folder / f"{name}.local.img")


class Testbed:
    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self.logs = logs
        self.processes = Processes(logs)
        self.links: Optional[Links] = None
        self.hosts: dict[str, Host] = {}
        self.used = False
        self.short = False  # scenarios leave out what is shown by the full run
        self.client: Optional[Client] = None

    @property
    def a(self) -> Host:
        return self.hosts["hostA"]

    @property
    def b(self) -> Host:
        return self.hosts["hostB"]

    def make_links(self) -> None:
        if not self.links:
            self.links = Links()

    def start(self) -> None:
        """Two fresh hosts, with the product and the guest as they are installed now."""
        self.make_links()
        shared = [self.folder / "shared0.img", self.folder / "shared1.img"]
        for number, path in enumerate(shared):
            emulator.make_guest_disk(path, emulator.SAN_MIB[number], number == 0)
        make_payload(self.folder / "payload.img", self.folder / "payload")
        for name in HOSTS:
            disks = _disks(self.folder, shared, name)
            emulator.make_overlay(disks.root, SAVED / "root.qcow2", "qcow2")
            emulator.make_image(disks.local, emulator.LOCAL_MIB)
            emulator.make_filesystem(disks.local)
            self.hosts[name] = Host(Emulator(name, self.folder, self.processes, disks))
        _at_once([partial(self._start_host, host) for host in self.hosts.values()])

    def _start_host(self, host: Host) -> None:
        host.emulator.start(SAVED / "state")
        host.agent.wait_until_up(180)
        host.personalize()

    def stop(self) -> None:
        self.processes.kill_all()
        self.client = None
        self.hosts = {}
        if self.links:
            self.links.heal_all()

    def reset(self, logs: Path) -> None:
        """Fresh hosts when something ran on these."""
        shutil.rmtree(logs, ignore_errors=True)
        if self.used or not self.hosts:
            self.stop()
            self.processes = Processes(logs)
            self.start()
        else:
            self.logs.rename(logs)  # the hosts go on writing there
            self.processes.log_folder = logs
        self.logs = logs
        for host in self.hosts.values():
            host.log_folder = logs
        self.used = True

    # --- steps of scenarios ---

    def both(self) -> list[Host]:
        return list(self.hosts.values())

    def connect(self, **options: Any) -> Client:
        """The client: one TCP connection to kvd from now on."""
        self.client = Client(self.processes, **{"rate": 20, "stall": 300, "patience": 150, **options})
        return self.client

    def disconnect(self) -> None:
        if self.client:
            self.client.quit()
        self.client = None

    def the_client(self) -> Client:
        assert self.client, "connect() first"
        return self.client

    def sent_by(self, host: Host) -> int:
        """Bytes that the host has sent on the replication link so far."""
        assert self.links
        return self.links.bytes_sent(host.name)

    def local_disks(self, host: Host, *, filled: bool, sizes: Sequence[int] = emulator.SAN_MIB) -> None:
        """/data/disk0 and disk1 on the host, of `sizes` in MiB."""
        make = "; ".join(f"rm -f /data/disk{n}; truncate -s {mib}M /data/disk{n}"
                         for n, mib in enumerate(sizes))
        host.agent.check(make + ("; mke2fs -q -F -t ext4 /data/disk0" if filled else ""))

    def running_copies(self, guest: XenGuest) -> list[str]:
        return [host.name for host in self.both() if host.emulator.alive() and host.runs(guest.name)]

    def collect_logs(self) -> None:
        for host in self.both():
            host.collect_logs()


def make_payload(image: Path, tree: Path) -> None:
    """The guest, and the installed product, stripped of debugging information."""
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "product").mkdir(parents=True)
    shutil.copytree(places.XEN / "guest", tree / "guest")
    for name in ("bin", "sbin", "libexec", "lib", "share", "etc"):
        if (places.PREFIX / name).is_dir():
            shutil.copytree(places.PREFIX / name, tree / "product" / name, symlinks=True)
    for path in tree.glob("product/**/*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size > 4 * emulator.MIB:
            subprocess.run([paths.tool("strip"), "--strip-debug", str(path)], check=False,
                           stderr=subprocess.DEVNULL)
    emulator.make_image(image, emulator.PAYLOAD_MIB)
    emulator.make_filesystem(image, tree)
    shutil.rmtree(tree)


def _at_once(jobs: list[Callable[[], None]]) -> None:
    """Runs jobs at the same time; the first error is raised when all have ended."""
    errors: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


