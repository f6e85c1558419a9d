# SPDX-License-Identifier: GPL-2.0-or-later
"""The loads under which modes are compared. Each has a name, and runs for some seconds and says its
figures; nothing of it goes on afterwards."""
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar, Optional, Sequence, Union

import load
import server_loads
from client_program import begin, finish
from server_loads import ServerLoad
from setting import Lab, cpu_seconds

from haven_e2e import network
from haven_e2e.client import QUIET
from haven_e2e.processes import Failure

Meanwhile = Optional[Callable[[], None]]
# pgbench's time begins before its clients are connected; its rate is of the rest.
CONNECT_SECONDS = 2
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


@dataclass(frozen=True)
class Program:
    """`words` run in the client's name space; `figures` reads what they print."""
    name: str
    words: Callable[[float], Sequence[str]]
    figures: Callable[[str], dict[str, float]]
    server: Optional[ServerLoad] = None  # runs in the guest all the time, and waits for its clients

    def run(self, _lab: Lab, seconds: float, _meanwhile: Meanwhile = None) -> dict[str, float]:
        return self.measure(seconds)

    def measure(self, seconds: float) -> dict[str, float]:
        return self.figures(finish(self.name, begin(self.words(seconds)), 60 + 2 * seconds))


@dataclass(frozen=True)
class Store:
    """The tests' own store, each of whose requests is an fsync in the guest."""
    name: str
    client: dict[str, Any]
    beside: dict[str, int] = field(default_factory=lambda: QUIET)  # what the guest does by itself
    server: ClassVar[Optional[ServerLoad]] = None

    def run(self, lab: Lab, seconds: float, meanwhile: Meanwhile = None) -> dict[str, float]:
        measured = load.run(lab, self.client, seconds, meanwhile, self.beside, after=QUIET)
        figures = {"p50_ms": measured.latency_p50_us / 1000, "p99_ms": measured.latency_p99_us / 1000,
                   "requests_s": measured.requests_s}
        if self.beside != QUIET:
            figures |= {"pages_s": measured.pages_s, "disk_ops_s": measured.disk_ops_s}
        return figures


@dataclass(frozen=True)
class Idle:
    """Nobody asks for anything. What the guest's process takes is mostly the guest itself."""
    name: str
    server: ClassVar[Optional[ServerLoad]] = None

    def run(self, lab: Lab, seconds: float, _meanwhile: Meanwhile = None) -> dict[str, float]:
        pid = lab.primary.qemu_pid()
        cpu, begin = cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)
        return {"process_percent": 100 * (cpu_seconds(pid) - cpu) / (time.monotonic() - begin)}


Load = Union[Program, Store, Idle]


def _own(program: str, *words: object) -> list[str]:
    first, *rest = (str(word) for word in words)
    return [sys.executable, str(server_loads.HERE / program), network.GUEST4, first, *rest]


def _found(pattern: str, output: str) -> "re.Match[str]":
    found = re.search(pattern, output)
    if not found:
        raise Failure(f"nothing like {pattern} in: {output.strip()[-400:]}")
    return found


def _of_wrk(output: str) -> dict[str, float]:
    if re.search(r"connect [1-9]|read [1-9]|write [1-9]|Non-2xx", output):
        raise Failure(f"wrk: {output.strip()[-400:]}")
    figures = {"requests_s": float(_found(r"Requests/sec: *([0-9.]+)", output)[1])}
    for name, percent in (("p50_ms", 50), ("p99_ms", 99)):
        found = _found(rf"(?m)^ *{percent}% +([0-9.]+)(us|ms|s|m) *$", output)
        figures[name] = float(found[1]) * UNITS_MS[found[2]]
    return figures


def _of_pgbench(output: str) -> dict[str, float]:
    return {"tps": float(_found(server_loads.TPS, output)[1])}


def _web(connections: int) -> Callable[[float], Sequence[str]]:
    return lambda seconds: server_loads.wrk(seconds, connections)


def _sql(clients: int) -> Callable[[float], Sequence[str]]:
    return lambda seconds: server_loads.pgbench(CONNECT_SECONDS + seconds, clients)


WEB, SQL = server_loads.LOADS["web"], server_loads.LOADS["sql"]
BULK = ServerLoad("bulk", lambda seconds: _own("bulk.py", "out", seconds), r'"mb_s": ([0-9.]+)', warm_seconds=2)
# Pauses are judged by the heavy one, which comes first: a session has then had no other epochs.
LOADS: tuple[Load, ...] = (
    Store("heavy", load.SATURATED, load.LOAD),
    Program("ping", lambda seconds: _own("ping.py", seconds), json.loads),
    Idle("idle"),
    Store("light", {"window": 1, "rate": 9.3}),  # ten a second would fall into step with checkpoints
    Program("web", _web(1), _of_wrk, WEB),
    Program("web64", _web(64), _of_wrk, WEB),
    Program("out", lambda seconds: _own("bulk.py", "out", seconds), json.loads, BULK),
    Program("in", lambda seconds: _own("bulk.py", "in", seconds), json.loads, BULK),
    Program("sql", _sql(1), _of_pgbench, SQL),
    Program("sql16", _sql(16), _of_pgbench, SQL),
)
