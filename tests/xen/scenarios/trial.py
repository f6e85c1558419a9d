# SPDX-License-Identifier: GPL-2.0-or-later
"""With `trial = yes` the backup's xl loads the first checkpoint as a domain that stays paused, before
the guest counts as protected. A device model that does not start there is found by that, and both sides
say what xl says; with a good one the trial is gone again, and the guest survives its host."""
import time

from haven_xen.bed import Testbed
from haven_xen.haven import LOAD, Protection, protected_guest
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

# `--version` is all that is tried without a trial.
BROKEN = "#!/bin/sh\ncase $1 in --version) exec {model} --version ;; esac\necho no such machine >&2\nexit 1\n"


def run(bed: Testbed, t: Notes) -> None:
    good = protected_guest()
    bed.b.agent.put("/root/broken-dm", BROKEN.format(model=good.device_model), 0o755)
    protection = Protection(bed, good.with_model("/root/broken-dm"), trial=True)
    protection.start_backup()
    protection.guest = good
    protection.boot(t)
    why = _refused(protection, t)
    for part in ("xl cannot load the guest's state", "xl says: libxl: error"):
        if part not in why or part not in bed.b.agent.check("cat /var/log/havend.log"):
            raise Failure(f"{part!r} is not said on both sides; the primary says: {why}")
    _no_domain_is_left(bed)

    bed.b.agent.check("pkill -KILL -x havend")
    bed.b.write_config(good)
    protection.start_havend()
    protection.protect(t)
    begin = time.monotonic()
    protection.wait_for(bed.a, "protected")
    t(trial_and_first_copy_s=round(time.monotonic() - begin, 1))
    if "a trial domain was loaded" not in bed.b.agent.check("cat /var/log/havend.log"):
        raise Failure("there was no trial")
    if bed.b.agent.check("ls /data/haven/web1").count("trial-disk"):
        raise Failure("the disks of the trial are still there")
    bed.the_client().load(**LOAD)
    protection.run_epochs(5, t)
    killed = time.monotonic()
    bed.a.kill()
    protection.survives(t, killed, on=bed.b)


def _refused(protection: Protection, t: Notes) -> str:
    try:
        protection.protect(t)
    except Failure as refused:
        return str(refused)
    raise Failure("haven protect accepts a backup whose device model does not start")


def _no_domain_is_left(bed: Testbed) -> None:
    if bed.b.states():
        raise Failure(f"domains are left on hostB: {bed.b.states()}")
