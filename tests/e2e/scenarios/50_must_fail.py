# SPDX-License-Identifier: GPL-2.0-or-later
"""The product broken on purpose: HAVEN_BREAK=release-before-commit lets each epoch's
output go when the epoch is cut, not when the backup has it. The primary dies before the
first byte of such an epoch has left. The checker has to notice, with each kind of frame; if it does not,
every other scenario here proves nothing. What is installed for use cannot be broken like this."""
from haven_e2e import paths
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


@case("output released before the commit is caught, of each ethertype", short=True)
def released_early(lab: Lab, t: Notes) -> None:
    lab.boot({"HAVEN_BREAK": "release-before-commit", "HAVEN_KILL_AT": "before-first-byte:15"},
             stall=5)
    client = lab.the_client()
    client.load(chatter_s=100)
    lab.prepare_backup()
    doomed = lab.primary.qemu_pid()
    assert doomed
    lab.protect(interval_ms=200)  # each epoch has some of each kind, whatever else the machine does
    lab.primary.wait_for_qemu_death(doomed, 30)
    wait_until("the checker reports each kind of frame",
               lambda: all(client.stats()["datagrams_wrong"].values()), 30)
    t(frames=client.stats()["datagrams_wrong"], caught=client.violations()[0])


@case("the product obeys no fail points, the build that is tested does", short=True)
def product(lab: Lab, t: Notes) -> None:
    product = paths.ROOT / "build" / "root"
    for program in (paths.HAVEND, paths.QEMU):
        for prefix, wanted in ((product, 0), (paths.PREFIX, 2)):
            words = [prefix / program.relative_to(paths.PREFIX), "--version"]
            # A point of this form ends whoever looks at the variable.
            done = lab.processes.run("version", words, environment={"HAVEN_KILL_AT": ":"})
            if done.returncode != wanted:
                raise Failure(f"HAVEN_KILL_AT=: {words[0]}: status {done.returncode} instead of {wanted}")
    t(product=product)
