# SPDX-License-Identifier: GPL-2.0-or-later
"""Pings a host: ping.py ADDRESS SECONDS

Ten times a second in the mean, with gaps of random length: a steady rate would fall into step with
checkpoints. Prints an object with the round-trip times."""
import json
import os
import random
import select
import socket
import struct
import sys
import time

from report import percentile

MEAN_GAP, PATIENCE = 0.1, 3.0
ECHO_REQUEST, ECHO_REPLY = 8, 0


def checksum(octets: bytes) -> int:
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def request(identifier: int, number: int) -> bytes:
    rest = struct.pack("!HH", identifier, number) + bytes(56)
    sums = checksum(struct.pack("!BBH", ECHO_REQUEST, 0, 0) + rest)
    return struct.pack("!BBH", ECHO_REQUEST, 0, sums) + rest


def main() -> None:
    address, seconds = sys.argv[1], float(sys.argv[2])
    identifier = os.getpid() & 0xFFFF
    icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sent: dict[int, float] = {}
    took: list[float] = []
    now = due = time.monotonic()
    end = now + seconds
    while now < end or (len(took) < len(sent) and now < end + PATIENCE):
        if now >= due and now < end:
            sent[len(sent)] = now
            icmp.sendto(request(identifier, len(sent) - 1), (address, 0))
            due = now + random.uniform(0.2, 1.8) * MEAN_GAP
        wait = (due if now < end else end + PATIENCE) - now
        if select.select([icmp], [], [], max(0.0, wait))[0]:
            packet = icmp.recv(2048)
            now = time.monotonic()
            kind, _, _, whose, number = struct.unpack_from("!BBHHH", packet, 4 * (packet[0] & 15))
            if kind == ECHO_REPLY and whose == identifier and number in sent:
                took.append(now - sent[number])
        now = time.monotonic()
    if not took:
        sys.exit(f"ping: {address} answers none of {len(sent)}")
    print(json.dumps({"p50_ms": 1000 * percentile(took, 0.5), "p99_ms": 1000 * percentile(took, 0.99),
                      "lost": len(sent) - len(took)}))


main()
