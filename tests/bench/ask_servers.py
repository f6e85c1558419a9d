# SPDX-License-Identifier: GPL-2.0-or-later
"""Has the guest of servers do something: ask_servers.py ADDRESS SECONDS COMMAND

Prints what comes back (tests/bench/servers/job). With SECONDS that are not 0, hangs up after
them, and prints the number of lines a second instead. Waits for a guest that is still booting."""
import socket
import sys
import time

PORT = 7002


def connect(address: str) -> socket.socket:
    deadline = time.monotonic() + 120
    while True:
        try:
            return socket.create_connection((address, PORT), timeout=2)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main() -> None:
    address, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    connection = connect(address)
    connection.sendall(command.encode() + b"\n")
    if not seconds:
        connection.settimeout(300)
        print(connection.makefile().read(), end="")
        return
    begin, lines = time.monotonic(), 0
    while (left := begin + seconds - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            got = connection.recv(4096)
        except socket.timeout:
            break
        if not got:
            sys.exit("ask_servers: the guest hung up")
        lines += got.count(b"\n")
    print(lines / seconds)


if __name__ == "__main__":
    main()
