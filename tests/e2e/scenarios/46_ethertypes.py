# SPDX-License-Identifier: GPL-2.0-or-later
"""Output commit holds for each ethertype, in each mode and while it is switched: IPv4, IPv6, ARP, LLDP,
frames with a VLAN tag, and an ethertype that nobody knows.

The guest numbers its frames by a counter in its memory. The primary kills itself at some step of some
epoch; then the client sees that no number of the dead primary comes again from the survivor, that none is
higher than what the survivor has sent, and that each kind of frame arrives from it."""
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

from haven_e2e.demo import POINTS
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, alive, wait_until
from haven_e2e.scenario import Chain, Notes

KINDS = {"udp4", "udp6", "arp", "lldp", "unknown", "vlan"}
MODES: list[dict[str, Any]] = [{"mode": "remus", "interval_ms": 10}, {"mode": "kemari", "window_us": 200},
                               {"mode": "adaptive", "latency_us": 5000}]
IN_FLIGHT = (1, 2, 4)
CHATTER_S = 50


def arrive(lab: Lab) -> None:
    """Each kind of frame does, from now on."""
    def received() -> dict[str, int]:
        return dict(lab.the_client().stats()["datagrams"])
    before = received()
    if set(before) != KINDS:
        raise Failure(f"the client listens to {sorted(before)}")
    wait_until("each kind of frame arrives",
               lambda: all(count > before[name] for name, count in received().items()), 20)


def choose_kill() -> dict[str, str]:
    return {"HAVEN_KILL_AT": f"{random.choice(POINTS)}:{random.randint(40, 200)}"}


def switch_until_death(lab: Lab, qemu: int) -> int:
    """To any mode, one after the other. @return how often."""
    switches = 0
    try:
        with lab.primary.qmp() as monitor:
            while True:
                monitor("haven-set", **random.choice(MODES), in_flight=random.choice(IN_FLIGHT))
                switches += 1
                time.sleep(random.random() / 50)  # an epoch is about as long
    except OSError as error:
        wait_until(f"the primary has died ({error})", lambda: not alive(qemu), 10)
    return switches


class EtherTypes(Chain):
    """One guest goes through all of them, from host to host."""
    names = [f"in mode {mode['mode']}, in flight {epochs}" for mode in MODES for epochs in IN_FLIGHT]

    def begin(self, lab: Lab, first: str) -> None:
        self._kill = choose_kill()
        lab.boot(self._kill)

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        lab.the_client().load(chatter_s=CHATTER_S)
        t(kill=self._kill["HAVEN_KILL_AT"])
        self._kill = choose_kill() if following else {}
        lab.prepare_backup(guest_environment=self._kill)
        doomed = lab.primary.qemu_pid()
        assert doomed
        killed_at = self.protect_until_death(lab, name, doomed, t)
        lab.expect_failover(killed_at, exact=False)
        arrive(lab)
        report = lab.check_everything()
        t(acked=report["acked"], frames=sum(report["datagrams"].values()))

    def protect_until_death(self, lab: Lab, name: str, doomed: int, t: Notes) -> float:
        words = name.replace(",", "").split()
        lab.protect(mode=words[2], in_flight=int(words[-1]))
        return lab.primary.wait_for_qemu_death(doomed, 120)


class Switched(EtherTypes):
    names = ["while it is switched", "while it is switched, towards the other host"]
    short = True

    def protect_until_death(self, lab: Lab, name: str, doomed: int, t: Notes) -> float:
        lab.protect()
        with ThreadPoolExecutor(1) as pool:
            switches = pool.submit(switch_until_death, lab, doomed)
            killed_at = lab.primary.wait_for_qemu_death(doomed, 120)
            t(switches=switches.result())
        return killed_at


CHAINS = [Switched(), EtherTypes()]
