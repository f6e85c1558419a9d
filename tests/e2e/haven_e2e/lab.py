# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts, a guest and its client, and the steps that scenarios are made of."""
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Optional

from .client import Client
from .guest import GuestSpec
from .host import Host
from .network import HOSTS, Network
from .processes import Failure, Processes, wait_until
from .saved import UsualGuest

DEADLINE_MS = 1000


class Lab:
    """`primary` is the host on which the guest runs, `backup` the other one."""

    def __init__(self, spec: Optional[GuestSpec] = None, usual: Optional[UsualGuest] = None) -> None:
        """`usual`: boot() continues it when it is the one that is wanted."""
        self._usual = usual
        self.folder = Path(tempfile.mkdtemp(prefix="haven-e2e-"))
        self.logs = self.folder / "log"
        self.processes = Processes(self.logs)
        self.network: Optional[Network] = None
        try:
            self.network = Network(self.processes)
            self.spec = spec or GuestSpec()
            self.hosts = {name: Host(name, self.folder / name, self.processes, self.spec)
                          for name in HOSTS}
        except BaseException:
            self.close(keep=True)
            raise
        self.primary, self.backup = self.hosts["hostA"], self.hosts["hostB"]
        self.client: Optional[Client] = None

    def close(self, keep: bool = False) -> None:
        self.processes.kill_all()
        for host in getattr(self, "hosts", {}).values():
            host.reap()
        if self.network:
            self.network.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- steps ---

    def boot(self, environment: Optional[dict[str, str]] = None, *, client: bool = True,
             fresh_disks: bool = True, **client_options: Any) -> None:
        state = None
        if fresh_disks and self._usual and self._usual.is_for(self.spec):
            state = self._usual.give(self.primary)
        elif fresh_disks:
            self.primary.make_disks(filled=True)
        self.primary.start_primary(environment, state)
        if client:
            self.client = Client(self.processes, **client_options)

    def new_client(self) -> Client:
        """A client that starts from what the guest has now, for a guest that has rebooted."""
        if self.client:
            self.client.quit()
        self.client = Client(self.processes)
        return self.client

    def the_client(self) -> Client:
        assert self.client, "boot() first"
        return self.client

    def prepare_backup(self, *, havend_environment: Optional[dict[str, str]] = None,
                       guest_environment: Optional[dict[str, str]] = None,
                       fresh_disks: bool = True, **policy: Any) -> None:
        """A new backup: fresh state, fresh disks, a fresh havend; `policy` as Host.start_havend()."""
        self.backup.stop_havend()
        if fresh_disks:
            self.backup.reap()
            self.backup.make_disks(filled=False)
            self.backup.forget()
        self.backup.start_havend(environment=havend_environment, guest_environment=guest_environment,
                                 deadline_ms=DEADLINE_MS, **policy)

    def protect(self, **options: Any) -> None:
        self.primary.protect(self.backup, deadline_ms=DEADLINE_MS, **options)

    def set_mode(self, *settings: str) -> None:
        """Of the guest on the primary, as haven set takes them: mode=kemari."""
        self.primary.set_mode(*settings)

    def wait_for_state(self, host: Host, wanted: str, seconds: float) -> None:
        seen: list[str] = []

        def arrived() -> bool:
            seen[:] = [host.state()]
            return seen[0] == wanted
        try:
            wait_until(f"{host.name} is {wanted}", arrived, seconds, every=0.1)
        except Failure as failure:
            raise Failure(f"{failure} (it is {seen[0]})") from None

    def wait_for_epochs(self, more: int, seconds: float = 20, host: Optional[Host] = None) -> None:
        """Of the guest on the primary, or of the one on `host`."""
        def epoch() -> int:
            entry = (host or self.primary).status()
            return int(entry["epoch"]) if entry else 0
        first = epoch()
        wait_until(f"{more} further epochs", lambda: epoch() >= first + more, seconds, every=0.1)

    def expect_failover(self, killed_at: float, *, within: float = 20, exact: bool = True) -> float:
        """The backup takes over by itself; roles change. Milliseconds until the client's
        first reply after the silence: from the kill, or, when `killed_at` is only the time at
        which somebody saw that the process had gone, the whole silence."""
        client = self.the_client()
        after = killed_at if exact else killed_at - 1

        def gap_over() -> Optional[dict[str, Any]]:
            stats = client.stats(after=after)
            if stats["violations"]:
                raise Failure("the client saw: " + "; ".join(stats["violations"][:3]))
            # So long after the kill nothing of the dead primary is still on its way.
            from_backup = stats["last_reply"] > killed_at + 0.2
            return stats if from_backup and stats["gap_end"] > after else None
        stats = wait_until("the client gets replies from the promoted guest", gap_over, within,
                           every=0.05)
        assert isinstance(stats, dict)
        self.swap_roles()
        begin = killed_at if exact else float(stats["gap_begin"])
        return (float(stats["gap_end"]) - begin) * 1000

    def survive_the_kill(self) -> dict[str, int]:
        """The primary's QEMU is killed, and everything checked on the other host. @return the figures."""
        return self._checked(self.expect_failover(self.primary.kill_qemu()))

    def survive_the_death_of(self, qemu: int, seconds: float) -> dict[str, int]:
        """The same when the primary's QEMU kills itself, within `seconds`."""
        killed_at = self.primary.wait_for_qemu_death(qemu, seconds)
        failover_ms = self.expect_failover(killed_at, exact=False)
        self.the_client().wait_for_progress(50, 20)
        return self._checked(failover_ms)

    def _checked(self, failover_ms: float) -> dict[str, int]:
        report = self.check_everything()
        return {"failover_ms": round(failover_ms), "acked": report["acked"], "lost": report["lost"]}

    def swap_roles(self) -> None:
        self.primary, self.backup = self.backup, self.primary

    def check_everything(self) -> dict[str, Any]:
        """Nothing acknowledged is lost and memory agrees with the disks; ends the load."""
        client = self.the_client()
        verified = client.verify_guest()
        report = client.reconcile()
        return {**report, **{k: v for k, v in verified.items() if k != "ok"}}

    def shut_down_and_fsck(self) -> None:
        """The guest unmounts and powers off; its disk has to be clean on the host it ran on."""
        client = self.the_client()
        client.ask("pause")
        client.control("finish")
        pid = self.primary.qemu_pid()
        client.control("poweroff")
        if pid is not None:
            self.primary.wait_for_qemu_death(pid, 20)
        problem = self.primary.check_filesystem()
        if problem:
            raise Failure(problem)

    def running_copies(self) -> list[str]:
        return [name for name, host in self.hosts.items() if host.guest_status() == "running"]

    def log_tails(self, lines: int = 15) -> str:
        text = []
        for path in sorted([*self.logs.glob("*.log"), *self.folder.glob("host*/state/**/*.log")]):
            tail = subprocess.run(["tail", "-n", str(lines), str(path)], capture_output=True,
                                  text=True, errors="replace").stdout
            text.append(f"--- {path}\n{tail}")
        return "\n".join(text)
