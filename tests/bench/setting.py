# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts and the guest of the benchmarks: those of the end-to-end tests, with the
guest's memory in a file on the primary, where a second process can read it too."""
import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
sys.dont_write_bytecode = True

from haven_e2e.guest import GuestSpec  # noqa: E402
from haven_e2e.host import Host  # noqa: E402
from haven_e2e.lab import Lab  # noqa: E402
from haven_e2e.processes import Failure  # noqa: E402
from report import Report  # noqa: E402


@dataclass
class BenchGuest(GuestSpec):
    memory_file: Optional[Path] = None
    initramfs: Optional[Path] = None

    def argv(self, host: str, disk_paths: dict[str, Path], serial: Path) -> list[str]:
        words = super().argv(host, disk_paths, serial)
        if self.initramfs:
            words[words.index("-initrd") + 1] = str(self.initramfs)
        if self.memory_file and host == "hostA":  # havend does it by itself on the other host
            words[words.index("-machine") + 1] += ",memory-backend=pc.ram"
            words += ["-object", f"memory-backend-file,id=pc.ram,size={self.memory_mib}M,"
                                 f"mem-path={self.memory_file},share=on"]
        return words


def cpu_seconds(pid: Optional[int]) -> float:
    """User and system time of a process so far; 0 when it is not there."""
    if pid is None:
        return 0.0
    try:
        return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid() makes of it
    except OSError:
        return 0.0


def backup_cpu_seconds(host: Host) -> float:
    """havend and the device model that it keeps."""
    return cpu_seconds(host.havend_pid()) + cpu_seconds(host.qemu_pid())


def carry_nice() -> None:
    """Linux may schedule each session as if it were one process (autogroup): what `nice` gave us then counts
    within our own only. Tells the sessions of all programs that have been started so far."""
    if os.nice(0) == 0 or os.getpid() != 1:  # not 1: other people's processes are in our /proc, too
        return
    for group in Path("/proc").glob("[0-9]*/autogroup"):
        try:
            if os.getsid(int(group.parent.name)) != os.getsid(0):  # ours is that of the caller's shell
                group.write_text(str(os.nice(0)))
        except OSError:
            pass  # it has ended, or we may not


def query_haven(lab: Lab) -> dict[str, Any]:
    with lab.primary.qmp() as monitor:
        answer = monitor("query-haven")
    assert isinstance(answer, dict)
    return answer


def unprotect(lab: Lab) -> None:
    done = lab.primary.haven("unprotect", lab.spec.name)
    if done.returncode != 0:
        raise Failure(f"haven unprotect: {done.stderr.strip()}")


def run_in_lab(report: Report, spec: BenchGuest, disks: Optional[str], columns: Sequence[str],
               bench: Callable[[Lab], None]) -> None:
    """Runs `bench` in name spaces of its own; shows what the programs said, beside its rows, when it fails."""
    report.progress(f"disks are in {_place_disks(disks)}")
    lab = Lab(spec)
    good = False
    try:
        bench(lab)
        good = True
    finally:
        if good or report.rows:
            report.finish(columns)
        if not good:
            print(lab.log_tails(), file=sys.stderr)
        lab.close()


def add_disks_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--disks", metavar="DIR", help="where disks and replicas are (default: in "
                        "memory if that can do direct I/O)")


def _place_disks(wanted: Optional[str]) -> str:
    """Where the hosts' disks will be. In memory, if it can do direct I/O: what this machine's
    disk does at the moment is then no part of the figures, and replication has nothing
    slower than itself to hide behind."""
    tempfile.tempdir = wanted or ("/dev/shm" if _does_direct_io("/dev/shm") else tempfile.gettempdir())
    return tempfile.tempdir


def _does_direct_io(folder: str) -> bool:
    path = Path(folder) / f"haven-bench-probe-{os.getpid()}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT))
        return True
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
