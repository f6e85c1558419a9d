# SPDX-License-Identifier: GPL-2.0-or-later
"""The checkpoint path of stock Remus on the same guest, as libxl walks it: QMP stop, QMP
xen-save-devices-state, copy of the dirty pages while the guest is stopped, QMP cont. What
Remus does besides in its pause (suspend of the domain, sending the pages) is not counted."""
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Optional

from page_copies import PageCopier
from setting import Host


class StockCheckpoints(threading.Thread):
    """Takes checkpoints every `interval` seconds until `finish`."""

    def __init__(self, host: Host, copier: PageCopier, pages: int, interval: float,
                 state_file: Path) -> None:
        super().__init__(daemon=True)
        self._monitor = host.qmp()
        self._copier = copier
        self._pages = pages
        self._interval = interval
        self._file = state_file
        self._ending = threading.Event()
        self._error: Optional[BaseException] = None
        self.parts: dict[str, list[float]] = defaultdict(list)

    def run(self) -> None:
        try:
            due = time.monotonic()
            while not self._ending.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + self._interval
                self._take()
        except BaseException as error:  # shown by finish(), in the thread that waits for us
            self._error = error

    def _take(self) -> None:
        begin = time.monotonic()
        self._monitor("stop")
        stopped = time.monotonic()
        self._monitor("xen-save-devices-state", filename=str(self._file), live=True)
        saved = time.monotonic()
        self._copier.copy(self._pages)
        copied = time.monotonic()
        self._monitor("cont")
        end = time.monotonic()
        for name, seconds in (("pause", end - begin), ("stop", stopped - begin),
                              ("device", saved - stopped), ("copy", copied - saved),
                              ("resume", end - copied)):
            self.parts[name].append(seconds * 1e6)

    def finish(self) -> None:
        self._ending.set()
        self.join()
        self._monitor.__exit__()
        self._file.unlink(missing_ok=True)
        if self._error:
            raise self._error
