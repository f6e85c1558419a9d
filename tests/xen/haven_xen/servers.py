# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest with Debian's servers (scripts/bench-parts/servers-image) on hostA, whose havend is on hostB. It has no
PV drivers, and its disks are on virtio: a request of an emulated IDE disk is a dozen port accesses, each of which
stops a guest here."""
import sys
from dataclasses import replace

from . import measure, places
from .bed import Testbed
from .haven import Protection, protected_guest
from .host import Host
from haven_e2e.scenario import Notes

sys.path.insert(0, str(places.ROOT / "tests" / "bench"))
import server_loads  # noqa: E402

MEMORY_MIB = 320
DISKS_MIB = (384, 16)
# Where hostA and hostB see the images; the guest's own disks are /data's.
SERVERS, BOOT = "/dev/vdf", "/data/bench-boot.elf"


def boot(bed: Testbed, interval_ms: int) -> Protection:
    """The guest runs, with the client that scenarios have; nobody protects it yet."""
    for host in bed.both():
        _plug(host)
    arguments = ["-device", f"loader,file={BOOT}",
                 "-drive", f"id=servers,file={SERVERS},format=raw,if=none,readonly=on",
                 "-device", "virtio-blk-pci,drive=servers"]
    guest = replace(protected_guest(), memory_mib=MEMORY_MIB, virtio=True, loaded=False, device_model_args=arguments)
    protection = Protection(bed, guest, interval_ms=interval_ms, disks_mib=DISKS_MIB)
    protection.start_backup()
    measure.say("the guest boots")
    protection.boot(Notes(), **measure.CLIENT)
    return protection


def _plug(host: Host) -> None:
    """The servers' disk and the guest's boot image become disks of the emulated host."""
    images = {"servers": server_loads.IMAGE / "root.img", "boot": server_loads.IMAGE / "xen" / "boot.elf"}
    with host.emulator.qmp() as monitor:
        for name, path in images.items():
            monitor("blockdev-add", node_name=f"bench-{name}", driver="raw", read_only=True,
                    file={"driver": "file", "filename": str(path), "locking": "off"})
            monitor("device_add", driver="virtio-blk-pci", drive=f"bench-{name}", id=f"bench-{name}")
    size = images["boot"].stat().st_size
    host.agent.check("for i in $(seq 100); do [ -e /dev/vdg ] && break; sleep 0.2; done; "
                     f"head -c {size} /dev/vdg >{BOOT} && [ -e {SERVERS} ]", seconds=120)
