# SPDX-License-Identifier: GPL-2.0-or-later
"""The product on the testbed: a guest of hostA that hostB's havend backs up, with
replicas of its own. What each test does to it is in the scenarios."""
import json
import shlex
import time
from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence

from . import places, steps
from .bed import Testbed
from .emulator import SAN_MIB
from .guest import LOCAL, PATCHED, VIF_SCRIPT, XenGuest
from .host import Host
from haven_e2e.processes import Failure, Skip, wait_until
from haven_e2e.scenario import Notes

PORT = 7789
# An emulated host on a busy machine may stand still for seconds.
DEADLINE_MS = 8000
HAVEN = shlex.quote(str(places.PREFIX / "bin" / "haven"))
HAVEND = shlex.quote(str(places.PREFIX / "sbin" / "havend"))
CONFIG = "/root/havend.conf"
LOAD = {"memory_pages_s": 200, "memory_pages": 512, "disk_threads": 1, "disk_ops_s": 5, "chatter_s": 5}


def protected_guest(**options: Any) -> XenGuest:
    """A guest with HAVEN's device model and disks of the host's own."""
    if not (places.PREFIX / "libexec" / "haven" / "qemu-dm").exists():
        raise Skip("the patched device model is not built")
    return XenGuest(**{"disks": list(LOCAL), "vif_script": VIF_SCRIPT, **options}).with_model(PATCHED)


def haven(host: Host, *words: object, seconds: float = 600) -> str:
    """`haven WORDS` on the host; its output, or a failure with what it said."""
    done = host.agent.run(" ".join([HAVEN, *(shlex.quote(str(word)) for word in words)]), seconds=seconds)
    if done.status:
        raise Failure(f"{host.name}: haven {words[0]}: {done.err.strip() or done.out.strip()}")
    return done.out


def refused(host: Host, *words: object) -> str:
    """What `haven WORDS` says when it is refused, as it has to be."""
    done = host.agent.run(" ".join([HAVEN, *(shlex.quote(str(word)) for word in words)]), seconds=600)
    if done.status != 1 or not done.err.strip():
        raise Failure(f"{host.name}: haven {words[0]}: status {done.status}, says {done.err!r}; a refusal was due")
    return str(done.err.strip())


def status(host: Host, name: str = "web1") -> dict[str, Any]:
    return dict(json.loads(haven(host, "status", name, "--json", seconds=steps.PATIENCE))["guests"][0])


@dataclass
class Protection:
    bed: Testbed
    guest: XenGuest
    promote: str = "auto"
    arbiter: Optional[str] = None
    interval_ms: int = 200
    deadline_ms: int = DEADLINE_MS
    port: int = PORT
    disks_mib: Sequence[int] = SAN_MIB
    # Else the emulated backup needs a second of its failover to load a kernel that the guest has already.
    can_boot_on_backup: bool = True
    trial: bool = False

    def start_backup(self) -> None:
        """hostB: the guest's xl.cfg, empty replicas, havend."""
        host = self.bed.b
        self.bed.local_disks(host, filled=False, sizes=self.disks_mib)
        host.write_config(replace(self.guest, loaded=self.can_boot_on_backup))
        disks = "".join(f"disk.{name} = {path}\n" for name, path in zip(self.guest.disk_names, LOCAL))
        host.agent.put(CONFIG, (
            f"[havend]\nlisten = {host.address}:{self.port}\ninsecure = yes\nstate-dir = /data/haven\n\n"
            f"[guest {self.guest.name}]\nxl-config = /root/{self.guest.name}.cfg\n{disks}"
            f"trial = {'yes' if self.trial else 'no'}\npromote = {self.promote}\narbiter = {self.arbiter or 'none'}\ndeadline-ms = {self.deadline_ms}\n"))
        self.start_havend()

    def start_havend(self) -> int:
        pid = self.bed.b.agent.spawn(f"{HAVEND} --config {CONFIG} --foreground", "/var/log/havend.log")
        port = f":{self.port:04X} "
        wait_until("havend listens", lambda: port in self.bed.b.agent.check("cat /proc/net/tcp"),
                   steps.PATIENCE, 0.5)
        return pid

    def boot(self, t: Notes, **client: Any) -> None:
        """The guest on hostA, and the client with it."""
        self.bed.local_disks(self.bed.a, filled=True, sizes=self.disks_mib)
        t(**steps.boot(self.bed, self.guest, **client))

    def protect(self, t: Notes, name: object = None) -> None:
        """`name`: what to call the guest instead of by its name."""
        begin = time.monotonic()
        haven(self.bed.a, *self.protect_words(name))
        t(protect_s=round(time.monotonic() - begin, 1))

    def protect_words(self, name: object = None) -> list[object]:
        return ["protect", name or self.guest.name, "--to", f"{self.bed.b.address}:{self.port}",
                "--interval", self.interval_ms, "--deadline", self.deadline_ms,
                *(["--arbiter", self.arbiter] if self.arbiter else [])]

    def all_of_it(self, t: Notes, **load: int) -> None:
        """Backup, guest, client, protection, load; protected for some epochs."""
        self.start_backup()
        self.boot(t)
        self.protect(t)
        self.bed.the_client().load(**{**LOAD, **load})
        self.run_epochs(5, t)

    def run_epochs(self, more: int, t: Notes) -> None:
        """Protected all the time, until `more` further epochs are committed."""
        begin, first = time.monotonic(), int(status(self.bed.a)["epoch"])
        after: dict[str, Any] = {}

        def committed() -> bool:
            after.update(self.require("protected"))
            return int(after["epoch"]) >= first + more
        wait_until(f"{more} further epochs are committed", committed, steps.PATIENCE, 1)
        t(epochs_per_s=round((int(after["epoch"]) - first) / (time.monotonic() - begin), 2),
          pause_p50_us=after["pause_p50_us"], pause_p99_us=after["pause_p99_us"])

    def require(self, state: str) -> dict[str, Any]:
        now = status(self.bed.a)
        if now["state"] != state:
            raise Failure(f"the guest is {now['state']} instead of {state}: {now.get('message')}")
        return now

    def wait_for(self, host: Host, state: str, seconds: float = steps.PATIENCE) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.clear()
            seen.update(status(host))
            return seen["state"] == state
        try:
            wait_until(f"`haven status` on {host.name} says {state}", reached, seconds, 0.5)
        except Failure as failure:
            raise Failure(f"{failure}; it says {seen.get('state')}: {seen.get('message')}") from None
        return seen

    def next_life(self, first: int) -> None:
        """xl starts the guest on hostA anew, in another domain than `first`; the backup stands
        down, and a new client is answered."""
        # Long before the next device model opens it: what is in it is of the life that ends.
        self.bed.a.agent.check(f"rm {self.guest.serial_log}")
        self.bed.disconnect()
        wait_until("xl has started the guest anew", lambda: self._is_other_domain(first), steps.PATIENCE, 1)
        self.backup_stands_down()
        wait_until("the guest has booted", lambda: "kvd ready" in self.bed.a.guest_console(self.guest), 900, 1)
        self.bed.connect().wait_for_progress(5, steps.PATIENCE)

    def _is_other_domain(self, first: int) -> bool:
        done = self.bed.a.agent.run(f"xl domid {self.guest.name}")
        return done.status == 0 and int(done.out) != first

    def backup_stands_down(self) -> None:
        """The guest went by itself: the backup says so, and keeps no domain of it."""
        backup = self.bed.b
        said = self.wait_for(backup, "waiting")["message"]
        if "powered off" not in said and "restart" not in said:
            raise Failure(f"the backup says: {said}")
        wait_until("no domain is left on hostB", lambda: not backup.states(), steps.PATIENCE, 0.5)

    def survives(self, t: Notes, since: float, *, on: Host) -> None:
        """The guest runs on host `on` and nowhere else; the client goes on; nothing is lost."""
        wait_until(f"the guest runs on {on.name}", lambda: on.runs(self.guest.name), 2 * steps.PATIENCE, 0.5)
        t(runs_again_s=round(time.monotonic() - since, 1))
        steps.still_answers(self.bed, 1)
        t(answers_again_s=round(time.monotonic() - since, 1))
        steps.still_answers(self.bed)
        self.bed.the_client().verify_guest()
        copies = self.bed.running_copies(self.guest)
        if copies != [on.name]:
            raise Failure(f"the guest runs on {copies}")
