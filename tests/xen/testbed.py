#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of scripts/xen-testbed that runs once the images are built."""
import argparse
import os
import select
import socket
import struct
import sys
import termios
import time
import tty
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from haven_xen import places, runner, service  # noqa: E402
from haven_e2e import processes  # noqa: E402


def up() -> socket.socket:
    connection = service.connect()
    if connection:
        return connection
    service.start_detached()
    connection = service.connect()
    if not connection:
        sys.exit("xen-testbed: the testbed is ready but does not listen")
    return connection


def down() -> int:
    connection = service.connect()
    if not connection:
        return 0
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid = struct.unpack("3i", raw)[0]
    service.request(connection, do="down")
    if processes.wait_for_death(pid, 20) is None:
        processes.kill_pid(pid)
    return 0


def run(wanted: list[str], short: bool) -> int:
    known = runner.names(short)
    for name in wanted:
        if not runner.exists(name):
            sys.exit(f"xen-testbed: there is no scenario {name}; there are: {' '.join(runner.names())}")
    with up() as session:  # the testbed ends with the last one, unless it was told to stay
        service.request(session, do="session")
        status = 0
        for name in wanted or known:
            status |= service.request(up(), do="run", name=name, short=short)
    return status


def console(host: str) -> int:
    """The host's serial line; Ctrl-] ends. Ctrl-a three times: Xen's own console."""
    path = places.RUN / f"{host}.console"
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError as error:
            sys.exit(f"xen-testbed: {host} has no console ({error}); is the testbed up?")
        before = termios.tcgetattr(0) if os.isatty(0) else None
        try:
            if before:
                tty.setraw(0)
                print(f"console of {host}, Ctrl-] leaves it\r")
                line.sendall(b"\n")
            return _relay(line)
        finally:
            if before:
                termios.tcsetattr(0, termios.TCSADRAIN, before)


def _relay(line: socket.socket) -> int:
    while True:
        for source in select.select([0, line], [], [])[0]:
            data = line.recv(4096) if source is line else os.read(0, 4096)
            if not data or (source == 0 and b"\x1d" in data):
                time.sleep(0 if source is line else 0.5)
                return 0
            if source is line:
                os.write(1, data)
            else:
                line.sendall(data)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/xen-testbed")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve")
    verbs.add_parser("up")
    verbs.add_parser("down")
    short = argparse.ArgumentParser(add_help=False)
    short.add_argument("--short", action="store_true")
    verbs.add_parser("list", parents=[short])
    verbs.add_parser("run", parents=[short]).add_argument("scenario", nargs="*")
    verbs.add_parser("console").add_argument("host", choices=["hostA", "hostB"])
    execute = verbs.add_parser("exec")
    execute.add_argument("host", choices=["hostA", "hostB"])
    execute.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if asked.verb == "serve":
        service.main()
    elif asked.verb == "up":
        return service.request(up(), do="stay")
    elif asked.verb == "down":
        return down()
    elif asked.verb == "list":
        print("\n".join(runner.names(asked.short)))
    elif asked.verb == "run":
        return run(asked.scenario, asked.short)
    elif asked.verb == "console":
        return console(asked.host)
    else:
        connection = service.connect() or sys.exit("xen-testbed: it is not up")
        return service.request(connection, do="exec", host=asked.host, command=" ".join(asked.command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
