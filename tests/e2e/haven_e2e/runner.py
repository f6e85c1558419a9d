# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs scenarios and prints one line for each case and at last `N passed, N failed`."""
import argparse
import importlib.util
import json
import signal
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Optional

from . import paths, sandbox
from .lab import Lab
from .processes import Failure, Skip
from .saved import UsualGuest
from .scenario import Case, Chain, Notes

FOLDER = paths.E2E / "scenarios"


class TooLong(BaseException):
    """A case went on for longer than it may; no Exception, so that nothing swallows it."""


class Runner:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.rows: list[dict[str, Any]] = []
        self._usual = UsualGuest()

    def close(self) -> None:
        self._usual.close()

    def count(self, result: str) -> int:
        return sum(row["result"] == result for row in self.rows)

    def wanted(self, scenario: str, name: str, short: bool) -> bool:
        patterns = self._options.only
        return ((short or not self._options.short)
                and (not patterns or any(pattern in f"{scenario}/{name}" for pattern in patterns)))

    def run_case(self, scenario: str, case: Case) -> None:
        if not self.wanted(scenario, case.name, case.short):
            return
        lab = self._attempt(scenario, case.name, case.seconds, None, lambda: Lab(case.spec(), self._usual),
                            case.run)
        self._close(lab)

    def run_chain(self, scenario: str, chain: Chain) -> None:
        names = [name for name in chain.names if self.wanted(scenario, name, chain.short)]
        lab: Optional[Lab] = None
        for name, following in zip(names, [*names[1:], None]):
            def begin(first: str = name) -> Lab:
                made = Lab(type(chain).spec(), self._usual)
                try:
                    chain.begin(made, first)
                except BaseException:
                    self._show(made)
                    made.close()
                    raise
                return made

            def step(the_lab: Lab, t: Notes, name: str = name,
                     following: Optional[str] = following) -> None:
                chain.step(the_lab, name, following, t)
            lab = self._attempt(scenario, name, chain.seconds, lab, begin, step)
            if self.rows[-1]["result"] == "FAIL":
                self._close(lab)
                lab = None
        if lab and chain.end_name:
            self._attempt(scenario, chain.end_name, chain.seconds, lab, lambda: lab,  # type: ignore
                          lambda the_lab, _: chain.end(the_lab))
        self._close(lab)

    def _attempt(self, scenario: str, name: str, seconds: float, lab: Optional[Lab],
                 make: Callable[[], Lab], body: Callable[[Lab, Notes], None]) -> Optional[Lab]:
        if not self._options.json and sys.stdout.isatty():
            print(f".... {scenario}/{name}", end="\r", flush=True)
        begin, notes, result, reason = time.monotonic(), Notes(), "ok", ""
        signal.signal(signal.SIGALRM, _raise_too_long)
        signal.alarm(int(seconds))
        try:
            lab = lab or make()
            body(lab, notes)
        except Skip as skip:
            result, reason = "skip", str(skip)
        except Failure as failure:
            result, reason = "FAIL", str(failure)
        except TooLong:
            result, reason = "FAIL", f"not done after {seconds:g} s, at {_where()}"
        except Exception as error:  # the test or the machine, not the subject
            result, reason = "FAIL", f"error in the test, {_where()}: {type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
        self._report(f"{scenario}/{name}", result, time.monotonic() - begin, reason, notes)
        if result == "FAIL" and lab:
            self._show(lab)
        return lab

    def _report(self, name: str, result: str, seconds: float, reason: str, notes: Notes) -> None:
        row = {"name": name, "result": result, "seconds": round(seconds, 1), "reason": reason,
               **notes.values}
        self.rows.append(row)
        if self._options.json:
            print(json.dumps(row), flush=True)
        else:
            shown = " ".join(f"{key}={value}" for key, value in notes.values.items())
            print(f"{result:4} {name:64} {seconds:6.1f} s  {reason or shown}", flush=True)

    def _show(self, lab: Lab) -> None:
        if not self._options.quiet:
            print(lab.log_tails(), file=sys.stderr, flush=True)

    def _close(self, lab: Optional[Lab]) -> None:
        if lab:
            failed = self.rows[-1]["result"] == "FAIL"
            lab.close(keep=failed and self._options.keep)
            if failed and self._options.keep:
                print(f"     kept: {lab.folder}", file=sys.stderr)


def _raise_too_long(*_: object) -> None:
    raise TooLong()


def _where() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    inner = [frame for frame in frames if "scenarios" in frame.filename] or list(frames)
    return f"{Path(inner[-1].filename).name}:{inner[-1].lineno}"


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _scenarios() -> list[tuple[str, list[Case], list[Chain]]]:
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        module = _load(path)
        cases = [value for value in vars(module).values() if isinstance(value, Case)]
        found.append((path.stem, cases, list(getattr(module, "CHAINS", []))))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/e2e/run", description="end-to-end tests: two hosts, "
                                     "a guest and its client in name spaces of their own")
    parser.add_argument("--only", action="append", metavar="TEXT",
                        help="only cases whose scenario/name contains TEXT (may be repeated)")
    parser.add_argument("--short", action="store_true",
                        help="only what scripts/check runs without --full")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    parser.add_argument("--jobs", type=int, default=1, choices=[1],
                        help="cases run one after the other: they measure time")
    parser.add_argument("--keep", action="store_true", help="keep logs and disks of failed cases")
    parser.add_argument("--quiet", action="store_true", help="no logs of failed cases on stderr")
    return parser.parse_args()


def main() -> int:
    options = _options()
    scenarios = _scenarios()
    runner = Runner(options)
    if options.list:
        for scenario, cases, chains in scenarios:
            for name, short in [*((case.name, case.short) for case in cases),
                                *((name, chain.short) for chain in chains for name in chain.names)]:
                if runner.wanted(scenario, name, short):
                    print(f"{scenario}/{name}")
        return 0
    sandbox.enter()
    try:
        for name, cases, chains in scenarios:
            for case in cases:
                runner.run_case(name, case)
            for chain in chains:
                runner.run_chain(name, chain)
    finally:
        runner.close()
    passed, failed, skipped = (runner.count(word) for word in ("ok", "FAIL", "skip"))
    if options.json:
        print(json.dumps({"passed": passed, "failed": failed, "skipped": skipped}))
    else:
        if skipped:
            print(f"{skipped} skipped, reasons above")
        print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1
