# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest that has moved tells its network: frames of its MAC address on the client's
switch, from the moment of creation on."""
import socket
import threading

from .guest import MAC

ETH_P_ALL = 3
REVERSE_ARP, ARP, IPV6 = 0x8035, 0x0806, 0x86DD
NEIGHBOUR_ADVERTISEMENT, ICMPV6 = 136, 58


class Announcements:
    def __init__(self, interface: str = "br-lan") -> None:
        self.kinds: "set[str]" = set()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((interface, 0))
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        ours = bytes.fromhex(MAC.replace(":", ""))
        while True:
            frame = self._socket.recv(2048)
            if frame[6:12] == ours:
                self.kinds.add(_kind(frame))


def _kind(frame: bytes) -> str:
    kind = int.from_bytes(frame[12:14], "big")
    if kind == REVERSE_ARP:
        return "RARP"
    if kind == ARP and frame[28:32] == frame[38:42]:
        return "gratuitous ARP"
    if kind == IPV6 and frame[20] == ICMPV6 and frame[54] == NEIGHBOUR_ADVERTISEMENT and frame[38] == 0xFF:
        return "unsolicited NA"
    return "other"
