# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of a test, in name spaces:

      client                 hostA              hostB
        |lan0                  |lan0-br0-tap0,1   |lan0-br0-tap0,1    guests' traffic
   =====+======================+==================+=====  br-lan (name space switch)
                               |rep0              |rep0                replication
                     ==========+==================+=====  br-rep (name space switch)

A cut takes a host's port out of its bridge: both ends keep their carrier and
every packet is lost without a trace, as when a switch dies."""
import os
import subprocess
from pathlib import Path

from . import paths
from .processes import Failure, Processes, Skip, in_netns

HOSTS = ("hostA", "hostB")
CLIENT_MAC = "52:54:00:77:00:01"
CLIENT4, CLIENT6 = "10.77.0.1", "fd77::1"
TAPS = 2  # guests that a host may have
REPLICATION = {"hostA": "10.78.0.1", "hostB": "10.78.0.2"}
LINKS = ("lan", "rep")
LLDP = "0x4000"  # of the frames for the nearest bridge, those that ours pass on


def guest4(number: int) -> str:
    return f"10.77.0.{10 + number}"


GUEST4 = guest4(0)


def traffic(devices: str, device: str) -> tuple[int, int]:
    """Bytes that a device has received and sent; `devices` is /proc/net/dev of its name space."""
    for line in devices.splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == device:
            return int(figures.split()[0]), int(figures.split()[8])
    raise KeyError(device)


class Network:
    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        if not os.path.exists("/dev/net/tun"):
            raise Failure("/dev/net/tun is not there; the guest's network card needs it (modprobe tun)")
        for name in ("switch", "client", *HOSTS):
            self._run(None, "netns", "add", name)
            self._quiet(name)
            self._run(name, "link", "set", "lo", "up")
        for link in LINKS:
            self._run("switch", "link", "add", f"br-{link}", "type", "bridge", "forward_delay", "0",
                      "mcast_snooping", "0", "group_fwd_mask", LLDP)
            self._run("switch", "link", "set", f"br-{link}", "up")
        self._attach("client", "lan")
        # The same for each lab: a guest that has gone on from a saved state may know it.
        self._run("client", "link", "set", "lan0", "address", CLIENT_MAC)
        self._run("client", "addr", "add", f"{CLIENT4}/24", "dev", "lan0")
        self._run("client", "addr", "add", f"{CLIENT6}/64", "dev", "lan0", "nodad")
        for host in HOSTS:
            self._attach(host, "lan")
            self._attach(host, "rep")
            self._address_replication(host)
            self._run(host, "link", "add", "br0", "type", "bridge", "forward_delay", "0",
                      "mcast_snooping", "0", "group_fwd_mask", LLDP)
            self._run(host, "link", "set", "br0", "up")
            self._run(host, "link", "set", "lan0", "master", "br0")
            for number in range(TAPS):
                self._run(host, "tuntap", "add", "dev", f"tap{number}", "mode", "tap")
                self._run(host, "link", "set", f"tap{number}", "master", "br0", "up")

    def cut(self, host: str, link: str) -> None:
        self._run("switch", "link", "set", f"{link}-{host}", "nomaster")

    def heal(self, host: str, link: str) -> None:
        self._run("switch", "link", "set", f"{link}-{host}", "master", f"br-{link}")

    def slow_down(self, host: str, link: str, megabits: int) -> None:
        """Limits what `host` sends on the link, with a queue of 200 ms."""
        command = [paths.tool("tc"), "qdisc", "replace", "dev", f"{link}0", "root", "tbf", "rate",
                   f"{megabits}mbit", "burst", "64k", "latency", "200ms"]
        done = subprocess.run(in_netns(host, command), capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"this kernel cannot limit a link's rate: {done.stderr.strip()}")

    def lengthen(self, program: Path, round_trip_ms: float) -> None:
        """Replaces the replication link by one with this round trip (tests/bench/long_link.c), for good."""
        for host in HOSTS:
            self._run(host, "link", "del", "rep0")
        words = [word for host in HOSTS for word in (host, "rep0")]
        link = self._processes.start("long_link", [program, *words, round(round_trip_ms * 500)], pipes=True)
        assert link.stdout
        if link.stdout.readline() != "ready\n":
            raise Failure("the long link does not work, see long_link.log")
        for host in HOSTS:
            self._address_replication(host)

    def bytes_sent(self, host: str, link: str) -> int:
        """By the host on the link, since the network was made."""
        devices = subprocess.run(in_netns(host, ["cat", "/proc/net/dev"]), capture_output=True, text=True,
                                 check=True).stdout
        return traffic(devices, f"{link}0")[1]

    def close(self) -> None:
        for name in ("switch", "client", *HOSTS):
            subprocess.run([paths.tool("ip"), "netns", "del", name], check=False,
                           stderr=subprocess.DEVNULL)

    def _address_replication(self, host: str) -> None:
        self._run(host, "addr", "add", f"{REPLICATION[host]}/24", "dev", "rep0")
        self._run(host, "link", "set", "rep0", "up")

    def _attach(self, name: str, link: str) -> None:
        port = f"{link}-{name}"
        self._run("switch", "link", "add", port, "type", "veth", "peer", "name", f"{link}0",
                  "netns", name)
        self._run("switch", "link", "set", port, "master", f"br-{link}", "up")
        self._run(name, "link", "set", f"{link}0", "up")

    def _quiet(self, name: str) -> None:
        # Only the client speaks IPv6; the hosts only carry the guest's frames.
        if name != "client":
            subprocess.run(in_netns(name, ["sh", "-c",
                                           "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]),
                           check=False, stderr=subprocess.DEVNULL)

    def _run(self, netns: "str | None", *words: str) -> None:
        command = [paths.tool("ip"), *(["-n", netns] if netns else []), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
