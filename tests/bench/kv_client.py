# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of redis, as YCSB's workload A: kv_client.py ADDRESS fill|SECONDS

Records of some hundred octets of which a half is random, under keys of which some are asked for
far more often than others; half of the requests read, half of them write. `fill` writes each
record once. redis-benchmark would write one and the same value under each key.
Prints the number of requests a second."""
import bisect
import itertools
import json
import random
import selectors
import socket
import sys
import time

RECORDS, CONNECTIONS, IN_FLIGHT = 40000, 8, 24
WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike".split()
rng = random.Random()


def record(number: int) -> bytes:
    return json.dumps({"id": number, "name": " ".join(rng.choices(WORDS, k=3)), "visits": rng.randrange(10000),
                       "token": rng.randbytes(rng.randrange(32, 128)).hex(), "tags": rng.choices(WORDS, k=6),
                       "seen": time.time()}).encode()


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def replies_in(buffer: bytearray) -> int:
    """Removes whole replies (+OK, a bulk string, nil); how many."""
    count = at = 0
    while (end := buffer.find(b"\r\n", at)) >= 0:
        if buffer[at:at + 1] == b"-":
            sys.exit(f"kv_client: redis says {bytes(buffer[at:end])!r}")
        if buffer[at:at + 1] == b"$" and buffer[at + 1:at + 2] != b"-":
            end += 2 + int(buffer[at + 1:end])
            if end + 2 > len(buffer):
                break
        at = end + 2
        count += 1
    del buffer[:at]
    return count


def main() -> None:
    address, what = sys.argv[1:]
    # Zipf's law, and popular records are not neighbours.
    sums = list(itertools.accumulate(1 / (rank + 1) for rank in range(RECORDS)))
    order = random.Random(7).sample(range(RECORDS), RECORDS)
    fill = iter(range(RECORDS))

    def request() -> bytes:
        if what == "fill":
            number = next(fill, None)
            return b"" if number is None else command(b"SET", b"user:%d" % number, record(number))
        number = order[bisect.bisect(sums, rng.random() * sums[-1])]
        key = b"user:%d" % number
        return command(b"GET", key) if rng.random() < 0.5 else command(b"SET", key, record(number))

    selector, waiting, begin, done = selectors.DefaultSelector(), 0, time.monotonic(), 0
    end = begin + (600 if what == "fill" else float(what))
    for _ in range(CONNECTIONS):
        connection = socket.create_connection((address, 6379))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        requests = [one for one in (request() for _ in range(IN_FLIGHT)) if one]
        connection.sendall(b"".join(requests))
        waiting += len(requests)
        selector.register(connection, selectors.EVENT_READ, bytearray())
    while waiting:
        for key, _ in selector.select(10):
            connection, buffer = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            buffer += connection.recv(1 << 16)
            count = replies_in(buffer)
            done += count
            waiting -= count
            if time.monotonic() < end:
                requests = [one for one in (request() for _ in range(count)) if one]
                connection.sendall(b"".join(requests))
                waiting += len(requests)
    print(done / (time.monotonic() - begin))


main()
