# SPDX-License-Identifier: GPL-2.0-or-later
"""Has the guest run fio: ask_fio.py ADDRESS ARGUMENTS; prints what fio prints. Waits for
a guest that is still booting."""
import socket
import sys
import time

PORT = 7002


def main() -> int:
    address, arguments = sys.argv[1:]
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = socket.create_connection((address, PORT), timeout=2)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    connection.settimeout(60)
    connection.sendall(arguments.encode() + b"\n")
    print(connection.makefile().read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
