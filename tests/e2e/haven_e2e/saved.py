# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are saved to a file while they run, and go on from it."""
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import paths
from .client import BOOT_S
from .guest import GuestSpec
from .processes import Failure, wait_until
from .qmp import Qmp

if TYPE_CHECKING:
    from .host import Host


def incoming(state: Path) -> list[str]:
    """What QEMU's command line needs to continue from it."""
    return ["-incoming", f"exec:cat {state}"]


def save(monitor: Qmp, state: Path) -> None:
    """The guest stands still from then on."""
    monitor("stop")
    monitor("migrate-set-parameters", max_bandwidth=1 << 40)
    monitor("migrate", uri=f"exec:cat >{state}")

    def done() -> bool:
        status = monitor("query-migrate").get("status")
        if status == "failed":
            raise Failure(f"the state cannot be saved to {state}")
        return status == "completed"
    wait_until("the state is saved", done, 180, every=0.1)


def go_on(monitor: Qmp) -> None:
    """A QEMU that was started with incoming()."""
    wait_until("the saved state is loaded",
               lambda: monitor("query-status")["status"] in ("paused", "running"), 180, 0.05)
    monitor("cont")


class UsualGuest:
    """The guest that most cases have, as it is once it has booted. It boots once in a run of the tests."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="haven-e2e-saved-"))
        self._state = self._folder / "state"
        self._made = False

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def is_for(self, spec: GuestSpec) -> bool:
        return spec == GuestSpec()

    def give(self, host: "Host") -> Path:
        """Its disks, to the host. @return its state, for Host.start_primary()."""
        if not self._made:
            self._make(host)
        host.make_disks(filled=False)
        for name, path in host.disk_paths.items():
            _copy(self._folder / name, path)
        return self._state

    def _make(self, host: "Host") -> None:
        host.make_disks(filled=True)
        host.start_primary()
        # Nobody has spoken with it: a request of an earlier client would be done when it goes on.
        wait_until("the usual guest has booted", host.has_booted, BOOT_S, 0.1)
        with host.qmp() as monitor:
            save(monitor, self._state)
        for name, path in host.disk_paths.items():
            _copy(path, self._folder / name)
        host.kill_qemu()
        host.reap()
        self._made = True


def _copy(source: Path, target: Path) -> None:
    subprocess.run([paths.tool("cp"), "--sparse=always", str(source), str(target)], check=True)
