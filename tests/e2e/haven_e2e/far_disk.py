# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk of the primary that is on a server: what that does, the disk does."""
from pathlib import Path

from . import paths
from .guest import Disk, GuestSpec
from .lab import Lab
from .processes import wait_until
from .qmp import Qmp

FAR_MIB = 8


def far(options: str = "discard=unmap") -> GuestSpec:
    return GuestSpec(disks=GuestSpec().disks + [Disk("far", FAR_MIB, options=options)])


def serve(lab: Lab) -> int:
    """hostA's copy of the disk `far` becomes one behind a server, another QEMU. @return its pid."""
    monitor_path, socket = lab.folder / "server.qmp", lab.folder / "server.nbd"
    server = lab.processes.start("server", [
        paths.QEMU, "-machine", "none", "-nodefaults", "-display", "none",
        "-blockdev", f"driver=file,node-name=far,filename={lab.primary.disk_paths['far']}",
        "-qmp", f"unix:{monitor_path},server=on,wait=off"])
    wait_until("the disk's server is up", monitor_path.exists, 20)
    with Qmp(monitor_path) as monitor:
        monitor("nbd-server-start", addr={"type": "unix", "data": {"path": str(socket)}})
        monitor("block-export-add", type="nbd", id="far", node_name="far", writable=True)
    lab.primary.disk_paths["far"] = Path(f"nbd:unix:{socket}:exportname=far")
    return int(server.pid)
