#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The client that must not notice a failover.

It keeps ONE TCP connection to kvd in the guest and knows, for each operation, the
chained hash that the guest has to answer. It also listens to the guest's datagrams, and to its frames
of other ethertypes, whose counters only ever grow. What it reports as a violation:
  - a reply whose hash or count does not extend the chain, or an error reply
  - the connection reset, closed, or silent for longer than --stall seconds
  - a datagram whose counter was seen before, or is older than one that has been there for
    a while (output of a state that did not survive)
  - a guest that does not have an operation which it acknowledged, or has not sent yet a datagram
    that was seen (`reconcile`)

Alone:      checker.py --host 10.77.0.10 --seconds 10        one JSON object at the end
In a test:  checker.py --host 10.77.0.10 --commands          one JSON object per command
            read from stdin: stats | control LINE | pause | resume | reconcile | quit
"""
import argparse
import bisect
import ctypes
import errno
import json
import os
import random
import select
import socket
import struct
import sys
import threading
import time
import zlib
from collections import deque
from typing import Any, Optional

DATA_PORT, CONTROL_PORT, CHATTER_PORT = 7000, 7001, 9999
# As in tests/guest/chatter.c; those with a VLAN tag have a socket of their own.
ETHERTYPES = {"arp": 0x0806, "lldp": 0x88CC, "unknown": 0x88B5}
ETH_P_ALL, SO_ATTACH_FILTER = 3, 26
FNV_START, FNV_PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def chain(state: int, seq: int, payload: bytes) -> int:
    """As Chain() in tests/guest/store.c."""
    value = FNV_START
    for byte in state.to_bytes(8, "little") + seq.to_bytes(8, "little") + payload:
        value = ((value ^ byte) * FNV_PRIME) & MASK
    return value


class Control:
    """kvd's control port; each command on a connection of its own."""

    def __init__(self, host: str, patience: float) -> None:
        self._host = host
        self._patience = patience

    def __call__(self, line: str, seconds: Optional[float] = None) -> dict[str, Any]:
        seconds = self._patience if seconds is None else seconds
        with self._connect(seconds) as connection:
            connection.sendall(line.encode() + b"\n")
            with connection.makefile("r") as file:  # it too holds the connection open
                answer = file.readline()
        return json.loads(answer) if answer else {"ok": False, "error": "connection closed"}

    def _connect(self, seconds: float) -> socket.socket:
        """A guest that is stopped for long answers no ARP either, and looks as if it were gone."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return socket.create_connection((self._host, CONTROL_PORT), timeout=seconds)
            except OSError as error:
                if error.errno != errno.EHOSTUNREACH or time.monotonic() > deadline:
                    raise


def vlan_socket() -> socket.socket:
    """Frames with a VLAN tag, which the kernel takes out of the frame before any socket sees it."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    # Load whether there was a tag; if not, keep nothing of the frame.
    program = b"".join(struct.pack("=HBBI", *line) for line in (
        (0x20, 0, 0, 0xFFFFF000 + 48), (0x15, 0, 1, 0), (0x06, 0, 0, 0), (0x06, 0, 0, 0x40000)))
    code = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    try:  # what came before
        while True:
            sock.recv(1)
    except BlockingIOError:
        return sock


class Stream:
    """The counters of one kind of datagram, as they arrive.

    A guest with several CPUs may let datagrams overtake each other: some wait for the answer
    of its neighbour discovery, while the next is sent at once. Each of these comes once, and
    late by little. Of a state that did not survive, numbers come again, or, when the first
    one was lost, numbers that were overtaken before the silence of a failover."""

    OVERTAKEN_S = 0.1  # no failover is as quick

    def __init__(self, name: str) -> None:
        self._name = name
        self.wrong = 0  # how many of them come from a state that did not survive
        self._seen: set[int] = set()
        self._rising: list[int] = []  # each number that was higher than all before it
        self._times: list[float] = []  # and when it came

    def received(self) -> int:
        return len(self._seen)

    def last(self) -> int:
        return self._rising[-1] if self._rising else 0

    def arrived(self, number: int, now: float) -> Optional[str]:
        """None, or what is wrong with datagram `number`, which came at the time `now`."""
        overtaken = bisect.bisect(self._rising, number)
        again = number in self._seen
        self._seen.add(number)
        if again or (overtaken < len(self._rising) and now - self._times[overtaken] > self.OVERTAKEN_S):
            self.wrong += 1
            return (f"{self._name} datagram {number} arrived {'again ' if again else ''}after "
                    f"{self._rising[-1]}: it comes from a state that did not survive")
        if overtaken == len(self._rising):
            self._rising.append(number)
            self._times.append(now)
        return None


class Datagrams(threading.Thread):
    """Receives the guest's chatter."""

    def __init__(self, violation: Any) -> None:
        super().__init__(daemon=True)
        self._violation = violation
        self._streams: dict[str, Stream] = {}
        self._sockets: dict[int, tuple[Stream, socket.socket]] = {}
        self._open("udp4", socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("", CHATTER_PORT))
        six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._open("udp6", six, ("::", CHATTER_PORT))
        try:
            for name, ethertype in ETHERTYPES.items():
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethertype))
                self._open(name, raw, None)
            self._open("vlan", vlan_socket(), None)
        except (PermissionError, AttributeError):
            pass  # alone and not root: the two others remain

    def _open(self, name: str, sock: socket.socket, address: Any) -> None:
        if address:
            sock.bind(address)
        self._streams[name] = Stream(name)
        self._sockets[sock.fileno()] = (self._streams[name], sock)

    def received(self) -> dict[str, int]:
        return {name: stream.received() for name, stream in self._streams.items()}

    def wrong(self) -> dict[str, int]:
        return {name: stream.wrong for name, stream in self._streams.items()}

    def last(self) -> dict[str, int]:
        """The highest number of each."""
        return {name: stream.last() for name, stream in self._streams.items()}

    def run(self) -> None:
        while True:
            for fd in select.select(list(self._sockets), [], [])[0]:
                stream, sock = self._sockets[fd]
                data = sock.recv(2048)
                text = data.find(b"chatter ")  # ARP has its own words before it
                if text < 0:
                    continue
                wrong = stream.arrived(int(data[text:].split()[1]), time.monotonic())
                if wrong:
                    self._violation(wrong)


class Checker:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.control = Control(options.host, options.patience)
        self.violations: list[str] = []
        self.reply_times: list[float] = []
        self.latencies: list[float] = []
        self.acked = 0
        self._acked_hash = 0
        self._sent: deque[tuple[int, int, float]] = deque()
        self._lock = threading.Lock()
        self._paused = threading.Event()
        self._stop = threading.Event()
        self._random = random.Random(options.seed)
        self.datagrams = Datagrams(self.violation)
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._first = 0

    def violation(self, text: str) -> None:
        if len(self.violations) < 20:
            self.violations.append(text)

    def start(self) -> None:
        status = self._await_guest()
        self._first = self.acked = self._next = int(status["count"])
        self._acked_hash = self._next_hash = int(status["hash"], 16)
        self._connection = socket.create_connection((self._options.host, DATA_PORT), timeout=30)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self._connection.getsockname()[1]
        self.datagrams.start()
        self._thread.start()

    def _await_guest(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._options.connect
        while True:
            try:
                return self.control("status", 2)
            except (OSError, ValueError) as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"checker: no answer from {self._options.host}: {error}")
                time.sleep(0.05)

    # --- the one data connection; thread _talk ---

    def _send_one(self) -> None:
        payload = self._random.randbytes(self._random.randint(16, self._options.payload))
        self._next += 1
        self._next_hash = chain(self._next_hash, self._next, payload)
        line = f"P {self._next} {zlib.crc32(payload):08x} {payload.hex()}\n"
        with self._lock:
            self._sent.append((self._next, self._next_hash, time.monotonic()))
        self._connection.sendall(line.encode())

    def _talk(self) -> None:
        pending = b""
        last = time.monotonic()
        next_send = last
        try:
            while not self._stop.is_set():
                now = time.monotonic()
                while (not self._paused.is_set() and len(self._sent) < self._options.window
                       and now >= next_send):
                    if not self._sent:
                        last = now  # silence counts only while something is asked
                    self._send_one()
                    next_send = max(next_send + 1 / self._options.rate, now - 0.1)
                if self._sent and now - last > self._options.stall:
                    self.violation(f"no reply for {self._options.stall:g} s, operation "
                                   f"{self._sent[0][0]} is outstanding")
                    last = now
                wait = 0.05 if self._paused.is_set() else min(0.05, max(0, next_send - now))
                if len(self._sent) >= self._options.window:
                    wait = 0.05
                if not select.select([self._connection], [], [], wait)[0]:
                    continue
                data = self._connection.recv(65536)
                if not data:
                    raise ConnectionError("closed by the guest")
                last = time.monotonic()
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._reply(line.decode("ascii", "replace"), last)
        except OSError as error:
            if not self._stop.is_set():
                self.violation(f"the TCP connection was lost: {error}")

    def _reply(self, line: str, now: float) -> None:
        words = line.split()
        with self._lock:
            if not self._sent:
                self.violation(f"a reply to nothing: {line!r}")
                return
            seq, wanted, since = self._sent.popleft()
            if len(words) != 4 or words[0] != "R":
                self.violation(f"operation {seq} was refused: {line!r}")
            elif int(words[1]) != seq or int(words[3]) != seq:
                self.violation(f"operation {seq} got the reply of another: {line!r}")
            elif int(words[2], 16) != wanted:
                self.violation(f"operation {seq}: the guest's chain is {words[2]}, not {wanted:016x}")
            else:
                self.acked, self._acked_hash = seq, wanted
                self.reply_times.append(now)
                self.latencies.append(now - since)

    # --- what a test asks; main thread ---

    def connected(self) -> bool:
        return not any("connection was lost" in text for text in self.violations)

    def longest_gap(self, after: float) -> tuple[float, float, float]:
        """(length, begin, end) of the longest silence that ended after `after`."""
        with self._lock:
            times = list(self.reply_times)
        best = (0.0, after, after)
        for begin, end in zip(times, times[1:]):
            if end > after:
                best = max(best, (end - begin, begin, end))
        return best

    def stats(self, after: float = 0) -> dict[str, Any]:
        with self._lock:
            recent = sorted(self.latencies[-1000:])
            last = self.reply_times[-1] if self.reply_times else 0
        gap, begin, end = self.longest_gap(after)

        def at(fraction: float) -> int:
            return int(recent[min(len(recent) - 1, int(len(recent) * fraction))] * 1e6) if recent else 0
        return {"ok": True, "acked": self.acked - self._first, "sent": self._next - self._first,
                "latency_p50_us": at(0.5), "latency_p99_us": at(0.99), "last_reply": last,
                "longest_gap_ms": round(gap * 1000, 1), "gap_begin": begin, "gap_end": end,
                "connected": self.connected(), "violations": self.violations,
                "datagrams": self.datagrams.received(), "datagrams_wrong": self.datagrams.wrong()}

    def pause(self) -> bool:
        """Stops sending; true once every operation sent is answered."""
        self._paused.set()
        deadline = time.monotonic() + self._options.patience
        while self._sent and time.monotonic() < deadline and self.connected():
            time.sleep(0.01)
        return not self._sent

    def resume(self) -> None:
        self._paused.clear()

    def reconcile(self) -> dict[str, Any]:
        """Asks the guest what it has, and compares with what it acknowledged."""
        quiet = self.pause()
        if not quiet and self.connected():
            self.violation(f"{len(self._sent)} operations were never answered")
        lost, seen = 0, self.datagrams.last()
        try:
            status = self.control("status")
            for name, number in seen.items():
                if number > status["chatter"]:
                    self.violation(f"{name} datagram {number} was seen, and the guest has sent {status['chatter']}")
            have = int(status["count"])
            lost = max(0, self.acked - have)
            if lost:
                self.violation(f"{lost} acknowledged operations are lost: the guest has {have}, it "
                               f"had acknowledged {self.acked}")
            elif int(self.control(f"hash {self.acked}")["hash"], 16) != self._acked_hash:
                self.violation(f"the guest's chain at {self.acked} is not the acknowledged one")
        except (OSError, ValueError, KeyError) as error:
            self.violation(f"the guest cannot be asked what it has: {error}")
        return {**self.stats(), "lost": lost}

    def stop(self) -> None:
        self._stop.set()


def command_loop(checker: Checker) -> None:
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "stats":
                answer = checker.stats(float(rest or 0))
            elif word == "control":
                answer = checker.control(rest)
            elif word == "pause":
                answer = {"ok": checker.pause()}
            elif word == "resume":
                checker.resume()
                answer = {"ok": True}
            elif word == "reconcile":
                answer = checker.reconcile()
            elif word == "quit":
                break
            else:
                answer = {"ok": False, "error": f"unknown command {word}"}
        except (OSError, ValueError) as error:
            answer = {"ok": False, "error": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


def alone(checker: Checker, seconds: float) -> int:
    time.sleep(seconds)
    report = checker.reconcile()
    report["verify"] = checker.control("verify")
    print(json.dumps(report))
    return 0 if not report["violations"] and report["verify"]["ok"] else 1


def main() -> int:
    parser = argparse.ArgumentParser(description="client-side checker of the end-to-end tests")
    parser.add_argument("--host", default="10.77.0.10", help="address of kvd")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--commands", action="store_true", help="obey stdin instead of --seconds")
    parser.add_argument("--window", type=int, default=4, help="operations in flight")
    parser.add_argument("--rate", type=float, default=200, help="at most so many a second")
    parser.add_argument("--payload", type=int, default=256, help="largest payload in bytes")
    parser.add_argument("--stall", type=float, default=20, help="silence that is a violation")
    parser.add_argument("--patience", type=float, default=30,
                        help="seconds for a command, and for what is outstanding when sending stops")
    parser.add_argument("--connect", type=float, default=60, help="seconds the guest may boot")
    parser.add_argument("--seed", type=int, default=os.getpid())
    options = parser.parse_args()
    checker = Checker(options)
    checker.start()
    if not options.commands:
        return alone(checker, options.seconds)
    print(json.dumps({"ok": True, "local_port": checker.local_port}), flush=True)
    command_loop(checker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
