# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a device model that waits: a private mapping of a file, whose writes are
forgotten on demand, and kept in the file after a load.

Two device models without a guest, driven by hand. The file has a page of ones, the source
has zeroes there, so that the load writes; a debugger writes more."""
from pathlib import Path

from haven_e2e import paths
from haven_e2e.debugger import Debugger
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.qmp import Qmp, QmpError, listener_pid
from haven_e2e.scenario import Notes, case

MIB = 64
PAGE = 4096
ONES, EARLY, LATE, SHARED = (number << 20 for number in (16, 17, 18, 19))  # addresses


class Machine:
    def __init__(self, lab: Lab, name: str, *more: object, share: str = "off") -> None:
        self.file = lab.folder / f"{name}.memory"
        self.file.write_bytes(b"")
        self._qmp, self.gdb = lab.folder / f"{name}.qmp", lab.folder / f"{name}.gdb"
        backend = (f"memory-backend-file,id=pc.ram,size={MIB}M,share={share},mem-path={self.file},"
                   "x-use-canonical-path-for-ramblock-id=off")
        lab.processes.start(name, [
            paths.QEMU, "-machine", "pc,memory-backend=pc.ram", "-m", MIB, "-accel", "tcg", "-S",
            "-nodefaults", "-no-user-config", "-display", "none", "-object", backend,
            "-gdb", f"unix:{self.gdb},server=on,wait=off",
            "-qmp", f"unix:{self._qmp},server=on,wait=off", *more])
        wait_until(f"{name} opens its monitor", lambda: self._qmp.exists() and listener_pid(self._qmp), 20)
        self.monitor = Qmp(self._qmp)

    def refuses(self, command: str) -> None:
        try:
            self.monitor(command)
        except QmpError:
            return
        raise Failure(f"{command} was accepted at the wrong time")

    def in_file(self, address: int) -> bytes:
        with open(self.file, "rb") as file:
            file.seek(address)
            return file.read(1)

    def put_into_file(self, address: int, data: bytes) -> None:
        with open(self.file, "r+b") as file:
            file.seek(address)
            file.write(data)


def saved_state(lab: Lab) -> Path:
    source, state = Machine(lab, "source"), lab.folder / "state"
    source.refuses("haven-incoming-forget")
    source.monitor("migrate", uri=f"exec:cat > {state}")
    wait_until("the state is saved",
               lambda: source.monitor("query-migrate").get("status") == "completed", 30)
    return state


def require(what: str, found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise Failure(f"{what} is {found!r}, not {wanted!r}")


@case("a load changes the file of a waiting device model's memory when it has succeeded")
def private_then_shared(lab: Lab, t: Notes) -> None:
    state = saved_state(lab)
    machine = Machine(lab, "waiting", "-incoming", "defer")
    machine.put_into_file(ONES, b"1" * PAGE)
    with Debugger(machine.gdb) as debugger:
        debugger.write(EARLY, b"E")
        require("what was written while it waits, in the file,", machine.in_file(EARLY), b"\0")
        machine.refuses("haven-incoming-keep")
        machine.monitor("haven-incoming-forget")
        require("what was written while it waits", debugger.read(EARLY, 1), b"\0")
        require("what the file has", debugger.read(ONES, 1), b"1")

        machine.monitor("migrate-incoming", uri=f"exec:cat {state}")
        wait_until("the state is loaded",
                   lambda: machine.monitor("query-status")["status"] != "inmigrate", 30)
        debugger.write(LATE, b"L")
        require("what the load wrote", debugger.read(ONES, 1), b"\0")
        require("what the load wrote, in the file before it is kept,", machine.in_file(ONES), b"1")
        written = machine.monitor("haven-incoming-keep")["written-bytes"]
        require("what the load wrote, in the file,", machine.in_file(ONES), b"\0")
        require("what was written after the load, in the file,", machine.in_file(LATE), b"L")
        require("what was written after the load", debugger.read(LATE, 1), b"L")

        debugger.write(SHARED, b"S")
        require("what is written from then on, in the file,", machine.in_file(SHARED), b"S")
    machine.refuses("haven-incoming-keep")
    machine.refuses("haven-incoming-forget")
    machine.monitor("cont")
    if machine.monitor("query-status")["status"] != "running":
        raise Failure("the machine does not run")
    t(written_kib=written // 1024)


@case("a device model whose memory is shared from its start has nothing to forget or keep")
def shared(lab: Lab, t: Notes) -> None:
    Machine(lab, "waiting", "-incoming", "defer", share="on").refuses("haven-incoming-forget")
