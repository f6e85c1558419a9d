# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs in the client's name space that ask the guest for something for some seconds."""
import subprocess
from typing import Sequence

import setting
from haven_e2e.processes import Failure, in_netns


class NotDone(Failure):
    pass


def begin(words: Sequence[str]) -> subprocess.Popen:
    process = subprocess.Popen(in_netns("client", words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True)
    setting.carry_nice()
    return process


def finish(name: str, process: subprocess.Popen, seconds: float = 120) -> str:
    """What it printed. NotDone: it has not ended in `seconds`, and is ended."""
    try:
        output = str(process.communicate(timeout=seconds)[0])
    except BaseException as error:
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise NotDone(f"the load {name} did not end in {seconds:g} s") from None
        raise
    if process.returncode != 0:
        raise Failure(f"the load {name} ended with {process.returncode}: {output.strip()[-400:]}")
    return output
