# SPDX-License-Identifier: GPL-2.0-or-later
"""The links of the testbed, in the name space of the service:

      client (name space)     emulator of hostA        emulator of hostB
        |lan0                   |lan        |rep         |lan        |rep
   =====+=======================+===========|============+=====      |    br-lan
                                            |                        |
                                ============+========================+    br-rep

and a management link to each host (mgmt-hostA, mgmt-hostB), which no test cuts.
A cut takes a host's port out of its bridge: both ends keep their carrier and every
frame is lost without a trace, as when a switch dies."""
import subprocess
from pathlib import Path

from . import places  # noqa: F401
from haven_e2e import paths
from haven_e2e.network import CLIENT4, CLIENT6, HOSTS, traffic

LINKS = ("lan", "rep")


class Links:
    def __init__(self) -> None:
        # Only the client and the management links speak IPv6; the switches carry frames.
        self._ipv6("default", False)
        for link in LINKS:
            _ip("link", "add", f"br-{link}", "type", "bridge", "forward_delay", "0",
                "mcast_snooping", "0")
            _ip("link", "set", f"br-{link}", "up")
            for host in HOSTS:
                self._tap(f"{link}-{host}")
                self.heal(host, link)
        for host in HOSTS:
            self._tap(f"mgmt-{host}")
            self._ipv6(f"mgmt-{host}", True)
            _ip("addr", "add", "fe80::1/64", "dev", f"mgmt-{host}", "nodad")
        self._client()

    def cut(self, host: str, link: str) -> None:
        _ip("link", "set", f"{link}-{host}", "nomaster")

    def heal(self, host: str, link: str) -> None:
        _ip("link", "set", f"{link}-{host}", "master", f"br-{link}")

    def heal_all(self) -> None:
        for host in HOSTS:
            for link in LINKS:
                self.heal(host, link)

    def bytes_sent(self, host: str, link: str = "rep") -> int:
        """What the host has sent on the link so far."""
        return traffic(Path("/proc/net/dev").read_text(), f"{link}-{host}")[0]  # of our name space, unlike /sys

    def _tap(self, name: str) -> None:
        _ip("tuntap", "add", "dev", name, "mode", "tap")
        _ip("link", "set", name, "up")

    def _client(self) -> None:
        _ip("netns", "add", "client")
        _ip("link", "add", "lan-client", "type", "veth", "peer", "name", "lan0", "netns", "client")
        _ip("link", "set", "lan-client", "master", "br-lan", "up")
        for words in (("link", "set", "lo", "up"), ("link", "set", "lan0", "up"),
                      ("addr", "add", f"{CLIENT4}/24", "dev", "lan0"),
                      ("addr", "add", f"{CLIENT6}/64", "dev", "lan0", "nodad")):
            _ip("-n", "client", *words)

    def _ipv6(self, name: str, on: bool) -> None:
        setting = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        setting.write_text("0" if on else "1")


def _ip(*words: str) -> None:
    done = subprocess.run([paths.tool("ip"), *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
