# SPDX-License-Identifier: GPL-2.0-or-later
"""What physics asks of a pause: a second process copies as many pages of the guest's memory as the
last epoch had, at the same time and under the same contention (page_copy.c)."""
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import setting  # noqa: F401  (finds haven_e2e)
from haven_e2e import paths
from haven_e2e.qmp import Qmp
from report import percentile

SOURCE = Path(__file__).resolve().parent / "page_copy.c"
PROGRAM = paths.ROOT / ".cache" / "bench" / "page_copy"
QUANTILES = (("p50", 0.5), ("p99", 0.99))


class PageCopier:
    """page_copy.c over a guest's memory file."""

    def __init__(self, memory: Path) -> None:
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", PROGRAM, SOURCE], check=True)
        self._process = subprocess.Popen([PROGRAM, memory], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True, start_new_session=True)

    def copy(self, pages: int) -> float:
        """Microseconds that the copy took."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{pages}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Copies:
    """Those beside one row."""
    pages: list[float] = field(default_factory=list)
    took_us: list[float] = field(default_factory=list)

    def sample(self, copier: PageCopier, monitor: Qmp) -> None:
        pages = int(monitor("query-haven")["dirty-pages-last"])
        self.pages.append(pages)
        self.took_us.append(copier.copy(pages))
        time.sleep(0.07)

    def limits(self, row: dict[str, Any]) -> dict[str, float]:
        """Of a row that has what saving the device state took; none if nothing was copied."""
        figures: dict[str, float] = {}
        for name, fraction in QUANTILES if self.took_us else ():
            figures[f"memcpy_{name}_us"] = round(percentile(self.took_us, fraction), 1)
            figures[f"limit_{name}_us"] = figures[f"memcpy_{name}_us"] + row[f"device_{name}_us"]
        return figures
