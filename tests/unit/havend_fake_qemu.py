#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A device model that does nothing but talk: answers havend's monitor as a
waiting QEMU does, and says on the FIFO of -say what happens to it."""
import array
import json
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
        self.memory = int(re.search(r"mem-path=/proc/self/fd/(\d+)", line).group(1))
        self.socket = socket.socket(fileno=control)
        self.stream = b""
        self.running = False

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
        self.say("memory " + os.pread(self.memory, 4, 0).decode())

    def answer(self, command: str, passed: list[int]) -> dict:
        if command == "getfd":
            self.passed = passed[0]
        elif command == "migrate-incoming":
            self.load(self.passed)
            self.send({"event": "MIGRATION", "data": {"status": "active"}})
            self.send({"event": "MIGRATION", "data": {"status": "completed"}})
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
