# SPDX-License-Identifier: GPL-2.0-or-later
"""An arbiter that both hosts reach on their management links when they do not reach each
other: of each session the first host that asks has won, for ever."""
import socket
import socketserver
import threading
from typing import Optional

from .host import Host

OURS = "fe80::1"  # the test's end of each management link
COMMAND = "/root/arbiter"
SCRIPT = """#!/usr/bin/python3
import os, socket, sys
with socket.create_connection(("{address}%mgmt0", {port}), 10) as s:
    s.sendall(f"{{os.environ['HAVEN_INSTANCE']}} {{os.environ['HAVEN_ROLE']}}\\n".encode())
    sys.exit(0 if s.makefile().readline() == "won\\n" else 1)
"""


class Arbiter:
    """Listens as long as the scenario's process lives."""

    def __init__(self) -> None:
        self.prefer: Optional[str] = None  # "primary" or "backup": who wins, whoever asks first
        self.claims: "dict[str, str]" = {}
        self.log: "list[str]" = []
        self._lock = threading.Lock()
        arbiter = self

        class Answer(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                words = self.rfile.readline().decode().split()
                if len(words) == 2:
                    self.wfile.write(b"won\n" if arbiter._claim(*words) else b"lost\n")

        class Server(socketserver.ThreadingTCPServer):
            address_family = socket.AF_INET6
            daemon_threads = True

        self._server = Server(("::", 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def install(self, host: Host) -> str:
        """The command for the host's configuration."""
        port = self._server.server_address[1]
        host.agent.put(COMMAND, SCRIPT.format(address=OURS, port=port), mode=0o755)
        return COMMAND

    def _claim(self, instance: str, role: str) -> bool:
        with self._lock:
            winner = self.claims.setdefault(instance, self.prefer or role)
            self.log.append(f"{role} asked for {instance}: {winner} has it")
            return winner == role
