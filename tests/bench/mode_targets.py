# SPDX-License-Identifier: GPL-2.0-or-later
"""What each mode has to reach. A round is compared with the same round of another row, since what else
the machine does drifts. Where a row or a load was left out, so are its targets."""
from typing import Iterable, Optional

from mode_rows import UNPROTECTED
from report import Report, median

Rounds = dict[str, list[dict[str, float]]]
# Loads with a few requests a second.
LIGHT = {"ping": "ping", "light": "9 requests a second"}
AGE_S = 1.0  # of kemari's and adaptive's epochs, as by default


class Targets:
    def __init__(self, report: Report, rows: Rounds) -> None:
        self._report = report
        self._rows = rows

    def check(self, adaptive: Iterable[str], protected: Iterable[str]) -> None:
        for name in adaptive:
            self._adaptive(name)
        self._kemari()
        for name in (*adaptive, "kemari"):
            for way in ("out", "in"):
                self._at_least(f"{name}: bulk TCP {way}, % of unprotected", 50,
                               self._share(name, UNPROTECTED, f"{way}_mb_s"))
        for name in protected:
            for q in ("p50", "p99"):
                limits = self._each(name, f"limit_{q}_us")
                if limits:
                    self._at_most(f"{name}: pause {q}, us: 2 x (memcpy + device state), {q}", 2 * median(limits),
                                  median(self._each(name, f"pause_{q}_us")))

    def _adaptive(self, name: str) -> None:
        for load, text in LIGHT.items():
            for rate in (5, 10, 20):
                self._at_most(f"{name}: added latency p50, {text}, ms: 1/4 of remus {rate}/s",
                              self._added(f"remus {rate}/s", f"{load}_p50_ms", 4), self._added(name, f"{load}_p50_ms"))
        for load, text in (("web64", "HTTP"), ("heavy", "the store")):
            self._at_least(f"{name}: 64 in flight, {text}, % of unprotected", 90,
                           self._share(name, UNPROTECTED, f"{load}_requests_s"))
        for key, text in (("requests_s", "requests"), ("pages_s", "pages dirtied"), ("disk_ops_s", "disk operations")):
            self._at_least(f"{name}: under heavy load, {text}, % of remus 20/s", 95,
                           self._share(name, "remus 20/s", f"heavy_{key}"))
        for load, text, percent in (("sql", "one client", 200), ("sql16", "16 clients", 100)):
            self._at_least(f"{name}: PostgreSQL, {text}, % of remus 20/s", percent,
                           self._share(name, "remus 20/s", f"{load}_tps"))

    def _kemari(self) -> None:
        for load, text in LIGHT.items():
            self._at_most(f"kemari: added latency p50, {text}, ms: 1/3 of remus 20/s",
                          self._added("remus 20/s", f"{load}_p50_ms", 3), self._added("kemari", f"{load}_p50_ms"))
        cpu = self._each("kemari", "idle_cpu_percent")
        if cpu:
            self._at_most("kemari: an idle guest's replication, % of a processor", 0.5, median(cpu))
            # Frames of its own, such as ARP's, end epochs, too. One epoch more may fall into the time.
            self._at_most("kemari: an idle guest's checkpoints a second without frames: one each age",
                          1 / AGE_S + median(1 / seconds for seconds in self._each("kemari", "idle_seconds")),
                          median(epochs - frames for epochs, frames in
                                 zip(self._each("kemari", "idle_epochs_s"), self._each("kemari", "idle_frames_s"))))

    def _at_most(self, name: str, target: Optional[float], measured: Optional[float]) -> None:
        if target is not None and measured is not None:
            self._report.at_most(name, target, measured)

    def _at_least(self, name: str, target: float, measured: Optional[float]) -> None:
        if measured is not None:
            self._report.at_least(name, target, measured)

    def _each(self, name: str, key: str) -> list[float]:
        return [one[key] for one in self._rows.get(name, ()) if key in one]

    def _pairs(self, name: str, of: str, key: str) -> list[tuple[float, float]]:
        """Of rounds in which both were measured."""
        return [(ours[key], theirs[key]) for ours, theirs in zip(self._rows.get(name, ()), self._rows.get(of, ()))
                if key in ours and key in theirs]

    def _added(self, name: str, key: str, part: float = 1) -> Optional[float]:
        """Above unprotected, divided by `part`."""
        above = [ours - free for ours, free in self._pairs(name, UNPROTECTED, key)]
        return median(above) / part if above else None

    def _share(self, name: str, of: str, key: str) -> Optional[float]:
        """Percent."""
        shares = [ours / max(1e-9, theirs) for ours, theirs in self._pairs(name, of, key)]
        return 100 * median(shares) if shares else None
