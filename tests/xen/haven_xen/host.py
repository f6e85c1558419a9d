# SPDX-License-Identifier: GPL-2.0-or-later
"""One Xen host: `xl` on it, its guests, its logs."""
import json

import shlex
import time

from typing import Any

from . import places
from .agent import Agent, Unreachable
from .emulator import Emulator
from .guest import XenGuest
from haven_e2e.network import REPLICATION
from haven_e2e.processes import wait_until

XL = "xl"

class Host:
    def __init__(self, emulator: Emulator) -> None:
        self.name = emulator.name
        self.emulator = emulator
        self.agent = Agent(self.name, emulator.alive)
        self.address = REPLICATION[self.name]
        self.log_folder = emulator.processes.log_folder

    # --- start and end ---

    def personalize(self) -> None:
        """What makes one of two equal hosts out of the saved one."""
        number = self.address.rpartition(".")[2]
        product = shlex.quote(str(places.PREFIX))
        self.agent.check(
            f"hostname {self.name}; date -s @{int(time.time())} >/dev/null; "
            f"ip link set lan0 address 52:54:00:78:{number}:00 && "
            f"ip link set rep0 address 52:54:00:78:{number}:01 && "
            f"ip addr add {self.address}/24 dev rep0 && "
            "mount -o ro /dev/vdb /payload && mount /dev/vde /data && "
            f"mkdir -p {product} && mount --bind /payload/product {product}")

    def kill(self) -> float:
        return self.emulator.kill()

    # --- guests ---

    def xl(self, *words: object, seconds: float = 120) -> str:
        return self.agent.check(" ".join([XL, *(shlex.quote(str(word)) for word in words)]),
                                seconds=seconds)

    def write_config(self, guest: XenGuest) -> str:
        path = f"/root/{guest.name}.cfg"
        self.agent.put(path, guest.config())
        return path

    def create(self, guest: XenGuest) -> float:
        """`xl create`; seconds it took."""
        path, begin = self.write_config(guest), time.monotonic()
        self.xl("create", path, seconds=180)
        return time.monotonic() - begin

    def domains(self) -> dict[str, dict[str, Any]]:
        """Guests by name, as `xl list -l` says."""
        text = self.xl("list", "-l")
        found = {}
        for entry in json.loads(text or "[]"):
            config = entry.get("config", {}).get("c_info", {})
            if entry.get("domid"):
                found[config.get("name", f"domain {entry['domid']}")] = entry
        return found

    def states(self) -> dict[str, str]:
        """The letters of `xl list` (r b p s c d) of each guest; empty while it has none."""
        rows = [line.split() for line in self.xl("list").splitlines()[1:]]
        return {row[0]: row[4].replace("-", "") for row in rows if row[1] != "0"}

    def runs(self, name: str) -> bool:
        """Whether the guest is there and its CPUs may run."""
        state = self.states().get(name)
        return state is not None and not set(state) & set("pscd")

    def domid(self, name: str) -> int:
        return int(self.xl("domid", name))

    def device_model_pid(self, name: str) -> int:
        return int(self.agent.check(f"xenstore-read /local/domain/{self.domid(name)}/image/device-model-pid"))

    def device_model_path(self, name: str) -> str:
        return self.agent.check(f"readlink /proc/{self.device_model_pid(name)}/exe").strip()

    def wait_gone(self, name: str, seconds: float) -> None:
        wait_until(f"{name} is gone from {self.name}", lambda: name not in self.states(), seconds, 0.3)

    def destroy_all(self) -> None:
        for name in self.states():
            self.agent.run(f"{XL} destroy {shlex.quote(name)}")

    # --- the link to the other host ---

    def shape(self, link: str, *, delay_ms: float = 0, megabits: float = 0) -> None:
        """Delays and limits what this host sends on `lan` or `rep`; 0 and 0: as it was."""
        device = f"{link}0"
        if not delay_ms and not megabits:
            self.agent.run(f"tc qdisc del dev {device} root")
            return
        rate = f" rate {megabits}mbit" if megabits else ""
        self.agent.check(f"tc qdisc replace dev {device} root netem limit 20000 delay {delay_ms}ms{rate}")

    # --- what happened here ---

    def collect_logs(self) -> None:
        """Hypervisor, xl, device models, guests' consoles; nothing when the host is dead."""
        if not self.emulator.alive():
            return
        try:
            (self.log_folder / f"{self.name}.xl-dmesg.log").write_text(
                self.agent.run("xl dmesg; dmesg | tail -n 200; xl list; ps axww").out)
            text = self.agent.run("cd /var/log; for log in xen/* *.log; do [ -f $log ] && "
                                  "echo == $log && tail -n 400 $log; done").out
            (self.log_folder / f"{self.name}.var-log.log").write_text(text)
        except Unreachable as error:
            (self.log_folder / f"{self.name}.xl-dmesg.log").write_text(f"{error}\n")

    def guest_console(self, guest: XenGuest) -> str:
        return self.agent.run(f"cat {guest.serial_log}").out

