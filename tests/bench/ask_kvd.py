#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the test guest's server something that it answers from memory: ask_kvd.py ADDRESS SECONDS RATE

RATE requests a second, whatever is unanswered; 0: one after the other. Prints one JSON object:
how many were answered, and the latency's median and 99th percentile."""
import json
import select
import socket
import sys
import time
from collections import deque

from report import percentile

PORT, QUESTION = 7001, b"hash 0\n"


def main() -> None:
    address, seconds, rate = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    connection = socket.create_connection((address, PORT), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    begin = time.monotonic()
    due, end = begin, begin + seconds
    asked: deque[float] = deque()
    took: list[float] = []
    while (now := time.monotonic()) < end or asked:
        if now > end + 30:
            sys.exit("ask_kvd: the guest does not answer")
        if now < end and (now >= due if rate else not asked):
            connection.sendall(QUESTION)
            asked.append(now)
            due += 1 / rate if rate else 0
            continue
        wait = max(0.0, due - now) if rate and now < end else 1.0
        if select.select([connection], [], [], wait)[0]:
            got = connection.recv(65536)
            if not got:
                sys.exit("ask_kvd: the guest hung up")
            took += [time.monotonic() - asked.popleft() for _ in range(got.count(b"\n"))]
    print(json.dumps({"answered": len(took), "p50_us": percentile(took, 0.5) * 1e6,
                      "p99_us": percentile(took, 0.99) * 1e6}))


main()
