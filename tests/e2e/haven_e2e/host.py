# SPDX-License-Identifier: GPL-2.0-or-later
"""One host: its havend, the device models on it, its disks, and `haven` run on it."""
import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from . import guest, network, paths, saved
from .processes import (Failure, Processes, alive, in_netns, kill_pid, wait_for_death, wait_until)
from .qmp import Qmp, listener_pid

PORT = 7789


class Host:
    def __init__(self, name: str, folder: Path, processes: Processes, spec: guest.GuestSpec) -> None:
        self.name = name
        self.address = network.REPLICATION[name]
        self.folder = folder
        self.run_dir = folder / "run"
        self.state_dir = folder / "state"
        self.spec = spec
        self._processes = processes
        self._havend: Optional[subprocess.Popen] = None
        self._qemu: Optional[subprocess.Popen] = None
        self._generation = 0
        self.disk_paths: dict[str, Path] = {}
        self.launcher: list[str] = []  # how havend starts the device model; its command follows
        # What is different in that command; no change: the machine that the primary runs.
        self.change_command: Callable[[list[str]], list[str]] = lambda words: words
        for path in (self.run_dir, self.state_dir):
            path.mkdir(parents=True, exist_ok=True)

    # --- disks ---

    def make_disks(self, *, filled: bool) -> None:
        """Fresh disks: with a file system (the primary's), or empty (a new backup's)."""
        self._generation += 1
        for path in self.disk_paths.values():
            path.unlink(missing_ok=True)
        for disk in self.spec.disks:
            kind = disk.format_on(self.name) if filled else "raw"
            path = self.folder / f"{self.spec.name}.{disk.name}.{self._generation}.{kind}"
            guest.make_disk(path, disk, kind, filled and disk.name == "disk0")
            self.disk_paths[disk.name] = path

    def check_filesystem(self) -> str:
        return guest.check_filesystem(self.disk_paths["disk0"])

    # --- device model started by hand, as the primary of a first run ---

    @property
    def qmp_path(self) -> Path:
        return self.run_dir / f"{self.spec.name}.qmp"

    @property
    def serial(self) -> Path:
        return self._processes.log_folder / f"{self.name}.{self.spec.name}.console.log"

    def has_booted(self) -> bool:
        """By the guest's own word, with no connection to it."""
        return self.serial.exists() and "kvd ready" in self.serial.read_text()

    def qemu_argv(self, environment: dict[str, str]) -> list[str]:
        words = self.spec.argv(self.name, self.disk_paths, self.serial)
        assignments = [f"{key}={value}" for key, value in environment.items()]
        return [paths.tool("env"), *assignments, *words] if assignments else words

    def start_primary(self, environment: Optional[dict[str, str]] = None, state: Optional[Path] = None) -> None:
        """`state`: a saved one, to go on from."""
        words = self.qemu_argv({"HAVEN_STATE_DIR": str(self.state_dir), **(environment or {})})
        words += ["-qmp", f"unix:{self.qmp_path},server=on,wait=off", *(saved.incoming(state) if state else [])]
        self._qemu = self._processes.start(f"{self.name}.{self.spec.name}.qemu", words, netns=self.name)
        wait_until("QEMU opens its monitor", self._monitor_or_death, 20)
        if state:
            with self.qmp() as monitor:
                saved.go_on(monitor)

    def _monitor_or_death(self) -> bool:
        if self._qemu and self._qemu.poll() is not None:
            raise Failure(f"QEMU ended with {self._qemu.returncode}: {self._last_words(f'{self.spec.name}.qemu')}")
        return self.qmp_path.exists() and listener_pid(self.qmp_path) is not None

    def _last_words(self, program: str) -> str:
        lines = (self._processes.log_folder / f"{self.name}.{program}.log").read_text().splitlines()
        return " / ".join(line for line in lines[-3:] if not line.startswith("+ "))

    def qmp(self) -> Qmp:
        return Qmp(self.qmp_path)

    def qemu_pid(self) -> Optional[int]:
        """The device model that serves the guest's monitor here, whoever started it."""
        pid = listener_pid(self.qmp_path) if self.qmp_path.exists() else None
        return pid if pid and alive(pid) else None

    def guest_status(self) -> str:
        """QEMU's run state here, or `absent`."""
        if self.qemu_pid() is None:
            return "absent"
        try:
            with self.qmp() as monitor:
                return str(monitor("query-status")["status"])
        except OSError:
            return "absent"

    def kill_qemu(self) -> float:
        """SIGKILL to the device model; the time of it."""
        pid = self.qemu_pid()
        if pid is None:
            raise Failure(f"there is no device model on {self.name} to kill")
        return kill_pid(pid)

    def reap(self) -> None:
        """Ends a device model that is still here, for example one that havend left behind."""
        pid = self.qemu_pid()
        if pid is not None:
            kill_pid(pid)
        self.qmp_path.unlink(missing_ok=True)

    def forget(self) -> None:
        """havend's state is gone, as on a new host; what its QEMU said is kept with the logs."""
        for log in self.state_dir.glob("**/*.log"):
            with open(self._processes.log_folder / f"{self.name}.{log.name}", "ab") as kept:
                kept.write(log.read_bytes())
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self.state_dir.mkdir()

    def wait_for_qemu_death(self, pid: int, seconds: float) -> float:
        when = wait_for_death(pid, seconds)
        if when is None:
            raise Failure(f"the device model on {self.name} lives on after {seconds:g} s; it should "
                          "have killed itself (HAVEN_KILL_AT, in a build with --enable-failpoints)")
        return when

    # --- havend ---

    def start_havend(self, *, environment: Optional[dict[str, str]] = None,
                     guest_environment: Optional[dict[str, str]] = None, beside: "Sequence[Host]" = (),
                     half_open_limit: int = 64, **policy: Any) -> None:
        """`beside`: this host with other guests that its havend backs up."""
        config = self.folder / "havend.conf"
        lines = ["[havend]", f"listen = {self.address}:{PORT}", f"state-dir = {self.state_dir}",
                 f"run-dir = {self.run_dir}", "insecure = yes", f"half-open-limit = {half_open_limit}", ""]
        for host in (self, *beside):
            lines += host._guest_section(guest_environment or {}, **policy)
        config.write_text("\n".join(lines))
        self._havend = self._processes.start(f"{self.name}.havend",
                                             [paths.HAVEND, "--config", config, "--foreground"],
                                             netns=self.name, environment=environment)
        wait_until("havend listens", self._havend_listens, 10)

    def _guest_section(self, environment: dict[str, str], *, promote: str = "auto", arbiter: str = "none",
                       deadline_ms: int = 1000, disk_ack: str = "received", share: str = "",
                       create: str = "no", on_new_life: str = "ask", other_machine: str = "refuse",
                       on_stuck: str = "tell", journal_limit_mb: int = 1024) -> list[str]:
        command = shlex.join(self.launcher + self.change_command(self.qemu_argv(environment)))
        return [f"[guest {self.spec.name}]", f"command = {command}",
                "ram-region = pc.ram",
                *(f"disk.{name} = {path}" for name, path in self.disk_paths.items()),
                f"disk-ack = {disk_ack}", f"create = {create}", f"on-new-life = {on_new_life}",
                f"other-machine = {other_machine}", f"promote = {promote}", f"deadline-ms = {deadline_ms}",
                f"on-stuck = {on_stuck}", f"arbiter = {arbiter}",
                "memory-limit-mb = 1024", f"journal-limit-mb = {journal_limit_mb}",
                *([f"share = {share}"] if share else []), ""]

    def _havend_listens(self) -> bool:
        assert self._havend
        if self._havend.poll() is not None:
            raise Failure(f"havend ended with {self._havend.returncode}: {self._last_words('havend')}")
        listening = subprocess.run(in_netns(self.name, ["cat", "/proc/net/tcp"]),
                                   capture_output=True, text=True).stdout
        return f":{PORT:04X} 00000000:0000 0A" in listening

    def stop_havend(self) -> None:
        if self._havend and self._havend.poll() is None:
            kill_pid(self._havend.pid)
            self._havend.wait()
        self._havend = None

    def havend_pid(self) -> int:
        assert self._havend
        return self._havend.pid

    def havend_alive(self) -> bool:
        return bool(self._havend and self._havend.poll() is None)

    def havend_log(self) -> str:
        return (self._processes.log_folder / f"{self.name}.havend.log").read_text()

    # --- the haven command on this host ---

    def haven(self, *words: object, seconds: float = 60, answer: str = "") -> subprocess.CompletedProcess:
        verb, *rest = words
        return self._processes.run(f"{self.name}.haven",
                                   [paths.HAVEN, verb, *rest, "--run-dir", self.run_dir],
                                   netns=self.name, seconds=seconds, answer=answer)

    def protect(self, other: "Host", *, mode: str = "remus", interval_ms: int = 50, in_flight: int = 4,
                deadline_ms: int = 1000, arbiter: str = "none", on_backup_loss: str = "continue",
                encoder: str = "all", share: bool = False, output_limit: int = 64, lag_limit: int = 60,
                seconds: float = 60) -> None:
        done = self.haven("protect", self.spec.name, "--to", f"{other.address}:{PORT}",
                          "--mode", mode, "--interval", interval_ms, "--in-flight", in_flight,
                          "--deadline", deadline_ms, "--output-limit", output_limit, "--lag-limit", lag_limit,
                          "--on-backup-loss", on_backup_loss, "--encoder", encoder,
                          *(["--arbiter", arbiter] if arbiter != "none" else []),
                          *(["--share"] if share else []), seconds=seconds)
        if done.returncode != 0:
            raise Failure(f"haven protect: {(done.stderr or done.stdout).strip()[-400:]}")

    def set_mode(self, *settings: str) -> None:
        done = self.haven("set", self.spec.name, *settings)
        if done.returncode != 0:
            raise Failure(f"haven set {' '.join(settings)}: {(done.stderr or done.stdout).strip()[-400:]}")

    def status(self) -> Optional[dict[str, Any]]:
        """This guest's entry of `haven status --json` here, or None."""
        done = self.haven("status", self.spec.name, "--json", seconds=10)
        if done.returncode != 0:
            return None
        try:
            found = json.loads(done.stdout)["guests"]
        except (ValueError, KeyError) as error:
            raise Failure(f"haven status --json prints no such object: {error}: "
                          f"{done.stdout[:200]}") from None
        entries = [entry for entry in found if entry["name"] == self.spec.name]
        # A host may know a guest twice for a moment; the primary's word counts.
        entries.sort(key=lambda entry: entry["role"] != "primary")
        return entries[0] if entries else None

    def havend_status(self) -> dict[str, int]:
        """What havend says of itself in `haven status --json`."""
        return dict(json.loads(self.haven("status", "--json", seconds=10).stdout)["havend"])

    def state(self) -> str:
        entry = self.status()
        return str(entry["state"]) if entry else "unknown"
