# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one scenario on a testbed. A scenario is a file in tests/xen/scenarios with
    SHORT = True                                 it is also in the short run, where bed.short says
                                                 that it leaves out what it can show without
    def run(bed: Testbed, t: Notes) -> None      raises Failure or Skip
Its result is one line of JSON: name, result (ok, FAIL, skip), seconds, reason, figures."""
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

from . import places
from .bed import Testbed
from haven_e2e.processes import Failure, Skip
from haven_e2e.scenario import Notes


# A benchmark takes half of it.
LONGEST_S = 3600


class TooLong(BaseException):
    """The scenario went on for longer than it may; no Exception, so that nothing swallows it."""


def names(short: bool = False) -> list[str]:
    """Of all scenarios, or of those of the short run."""
    found = sorted(path.stem for path in places.SCENARIOS.glob("*.py"))
    return [name for name in found if not short or getattr(load(name), "SHORT", False)]


def exists(name: str) -> bool:
    """A scenario, or a benchmark that scripts/bench runs."""
    return any((folder / f"{name}.py").exists() for folder in (places.SCENARIOS, places.BENCHES))


def load(name: str) -> ModuleType:
    path = places.SCENARIOS / f"{name}.py"
    if not path.exists():
        path = places.BENCHES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), path)
    assert spec and spec.loader
    sys.path.insert(0, str(places.SCENARIOS.parent))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _too_long(*_: object) -> None:
    raise TooLong()


def run(bed: Testbed, name: str) -> dict[str, object]:
    begin, notes, result, reason = time.monotonic(), Notes(), "ok", ""
    signal.signal(signal.SIGALRM, _too_long)
    try:
        module = load(name)
        signal.alarm(LONGEST_S)
        module.run(bed, notes)
    except Skip as skip:
        result, reason = "skip", str(skip)
    except Failure as failure:
        result, reason = "FAIL", str(failure)
    except TooLong:
        result, reason = "FAIL", f"not done after {LONGEST_S} s, at {_where()}"
    except Exception as error:  # the test or the machine, not the subject
        result, reason = "FAIL", f"error in the test, {_where()}: {type(error).__name__}: {error}"
        traceback.print_exc()
    finally:
        signal.alarm(0)
    took = time.monotonic() - begin
    bed.collect_logs()
    return {"name": name, "result": result, "seconds": round(took, 1), "reason": reason, **notes.values}


def run_in_child(bed: Testbed, name: str, fds: list[int]) -> int:
    """Runs it in a child with standard streams `fds`; returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        row = run(bed, name)
        os.write(1, (json.dumps(row) + "\n").encode())
        status = 0 if row["result"] in ("ok", "skip") else 1
        if status:
            os.write(2, f"logs: {bed.logs}\n".encode())
    except BaseException:
        traceback.print_exc()
    finally:
        if bed.client:
            bed.client.quit()
        os._exit(status)


def _where() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    inner = [frame for frame in frames if "scenarios" in frame.filename] or list(frames)
    return f"{Path(inner[-1].filename).name}:{inner[-1].lineno}"
