#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A device model that does nothing but talk: answers havend's monitor as a
waiting QEMU does, and says on the FIFO of -say what happens to it.

It maps the memory as its share= says, and writes to it as its options say:
    -write-early          over the first page, once, while it waits
    -write-late           "DEVS" into the second page, as a device may that is loaded
    -fail-load-once FILE  over all of it, and fails to load, unless FILE exists; makes FILE
"""
import array
import json
import mmap
import os
import re
import signal
import socket
import sys


class FakeQemu:
    def __init__(self, arguments: list[str]) -> None:
        line = " ".join(arguments)
        self.arguments = arguments
        self.events = open(arguments[arguments.index("-say") + 1], "w", buffering=1)
        control = int(re.search(r"id=haven-control,fd=(\d+)", line).group(1))
        self.memory = self.file = None
        if "-object" in arguments:
            self.map_memory(line)
        self.socket = socket.socket(fileno=control)
        self.stream = b""
        self.running = False

    def map_memory(self, line: str) -> None:
        size, share, self.file = re.search(r"size=(\d+),share=(\w+),mem-path=/proc/self/fd/(\d+)", line).groups()
        self.file, self.size = int(self.file), int(size)
        flags = mmap.MAP_SHARED if share == "on" else mmap.MAP_PRIVATE
        self.memory = mmap.mmap(self.file, self.size, flags)

    def forget(self) -> None:
        self.memory.madvise(mmap.MADV_DONTNEED)
        if "-write-early" in self.arguments:
            self.arguments.remove("-write-early")
            self.memory[0:4096] = b"W" * 4096

    def keep(self) -> dict:
        if "-refuse-keep" in self.arguments:
            return {"error": {"class": "GenericError", "desc": "no space"}}
        written = 0
        for at in range(0, self.size, 4096):
            page = self.memory[at:at + 4096]
            if page != os.pread(self.file, 4096, at):
                os.pwrite(self.file, page, at)
                written += 4096
        return {"return": {"written-bytes": written}}

    def say(self, text: str) -> None:
        self.events.write(text + "\n")

    def send(self, message: dict) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\r\n")

    def fail(self, *lines: str) -> None:
        for line in lines:
            print(line, file=sys.stderr)
        sys.exit(1)

    def load(self, fd: int) -> None:
        if "-refuse-stream" in self.arguments:
            self.fail("fake: Missing section footer for cpu", "fake: load of migration failed")
        with os.fdopen(fd, "rb") as file:
            self.stream = file.read()
        if not self.stream.startswith(b"QEVM\0\0\0\3\7\0\0\0\7fake-pc"):
            self.fail("fake: the stream does not begin with its configuration")
        self.say("memory " + self.memory[0:4].decode())
        if "-fail-load-once" in self.arguments:
            self.fail_once(self.arguments[self.arguments.index("-fail-load-once") + 1])
        if "-write-late" in self.arguments:
            self.memory[4096:4100] = b"DEVS"

    def fail_once(self, marker: str) -> None:
        if os.path.exists(marker):
            return
        open(marker, "w").close()
        self.memory[:] = b"X" * self.size
        self.fail("fake: load of migration failed at first")

    def answer(self, command: str, passed: list[int]) -> dict:
        if command == "getfd":
            self.passed = passed[0]
        elif command == "migrate-incoming":
            self.load(self.passed)
            self.send({"event": "MIGRATION", "data": {"status": "active"}})
            self.send({"event": "MIGRATION", "data": {"status": "completed"}})
        elif command == "haven-incoming-try":
            if "-refuse-try" in self.arguments:
                print("fake: the device is another one", file=sys.stderr)
                return {"error": {"class": "GenericError", "desc": "the guest's state cannot be loaded"}}
            self.load(self.passed)
            self.say("loads")
        elif command == "haven-incoming-forget":
            if "-stock" in self.arguments:
                return {"error": {"class": "CommandNotFound", "desc": "The command has not been found"}}
            self.forget()
        elif command == "haven-incoming-keep":
            return self.keep()
        elif command == "query-haven-machine":
            return {"return": {"description": "machine = fake\n"}}
        elif command == "qom-get":
            return {"return": "fake-pc-machine"}
        elif command == "cont":
            if "-refuse-cont" in self.arguments:
                return {"error": {"class": "GenericError", "desc": "a disk is locked"}}
            self.running = True
            self.say("runs")
        elif command == "query-status":
            return {"return": {"running": self.running, "status": "running"}}
        return {"return": {}}

    def serve(self) -> None:
        self.send({"QMP": {"version": {}, "capabilities": []}})
        self.say("starts")
        buffer = b""
        while True:
            data, ancillary, _, _ = self.socket.recvmsg(65536, 64)
            passed = array.array("i")
            for _, _, content in ancillary:
                passed.frombytes(content)
            if not data:
                # havend is gone, or the guest is left to itself: it goes on.
                self.socket.close()
                os.read(os.pipe()[0], 1)
            buffer += data
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                request = json.loads(line)
                self.send({**self.answer(request["execute"], list(passed)), "id": request["id"]})


if __name__ == "__main__":
    if "-no-such-option" in sys.argv:
        print("fake: -no-such-option: invalid option", file=sys.stderr)
        sys.exit(1)
    signal.alarm(300)  # a test that dies leaves nothing behind for ever
    FakeQemu(sys.argv).serve()
