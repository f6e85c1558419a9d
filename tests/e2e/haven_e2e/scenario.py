# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario file is made of.

    @case("a sentence", seconds=60, short=True)              # short: also in the short run
    def some_name(lab: Lab, t: Notes) -> None: ...       # a lab of its own

    class ManyPoints(Chain):                             # cases that share one guest
        names = [...]
        def begin(self, lab, first): ...                 # boot; also after a failed case
        def step(self, lab, name, following, t): ...     # one case; `following` comes next
        def end(self, lab): ...                          # a last case, `end_name`
    CHAINS = [ManyPoints()]
"""
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .guest import GuestSpec
from .lab import Lab


class Notes:
    """Figures that the runner shows on the line of the case."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, **values: Any) -> None:
        self.values.update(values)


@dataclass
class Case:
    name: str
    run: Callable[[Lab, Notes], None]
    spec: Callable[[], GuestSpec]
    seconds: float
    short: bool


def case(name: str, *, spec: Callable[[], GuestSpec] = GuestSpec, seconds: float = 300,
         short: bool = False) -> Callable[[Callable[[Lab, Notes], None]], Case]:
    return lambda function: Case(name, function, spec, seconds, short)


class Chain:
    names: list[str] = []
    end_name: Optional[str] = None
    seconds: float = 300
    short = False
    spec: Callable[[], GuestSpec] = GuestSpec

    def begin(self, lab: Lab, first: str) -> None:
        raise NotImplementedError

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        raise NotImplementedError

    def end(self, lab: Lab) -> None:
        """Called only when `end_name` is set and the last case left its lab intact."""
