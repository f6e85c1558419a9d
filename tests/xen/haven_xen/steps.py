# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that scenarios share. All of them check the guest from outside: the client's
connection, and what kvd in the guest says of its memory and disks."""
import re
import time
from typing import Any, Callable, Optional

from . import places  # noqa: F401
from .bed import Testbed
from .guest import XenGuest
from .host import Host
from haven_e2e.processes import Failure, wait_until

MIGRATION_PORT = 8002
SOCAT = "socat -b 262144"  # with its own 8 KiB, dom0 does little else during a migration
PATIENCE = 300  # seconds; a busy machine is several times slower than an idle one


def timed(action: Callable[[], Any]) -> float:
    begin = time.monotonic()
    action()
    return round(time.monotonic() - begin, 1)


def boot(bed: Testbed, guest: XenGuest, host: Optional[Host] = None, **client: Any) -> dict[str, float]:
    """Creates the guest and connects the client; seconds of `xl create` and until it answers."""
    begin = time.monotonic()
    where = host or bed.a
    create = round(where.create(guest), 1)
    # The client's own patience is that of a guest on bare metal.
    wait_until(f"{guest.name} has booted", lambda: _booted(where, guest), 900, 1)
    connected = bed.connect(**client)
    answers = round(time.monotonic() - begin, 1)
    connected.wait_for_progress(5, PATIENCE)
    return {"create_s": create, "answers_s": answers}


def _booted(host: Host, guest: XenGuest) -> bool:
    text = host.guest_console(guest)
    if "Power down" in text or "Kernel panic" in text:
        raise Failure(f"{guest.name} ended while it booted: {text.strip()[-300:]}")
    return "kvd ready" in text


def still_answers(bed: Testbed, more: int = 10) -> None:
    """The same TCP connection goes on, and nothing that was acknowledged is missing."""
    client = bed.the_client()
    client.wait_for_progress(more, PATIENCE)
    client.reconcile()


def save(host: Host, guest: XenGuest, path: str = "/data/saved") -> float:
    took = timed(lambda: host.xl("save", guest.name, path, seconds=PATIENCE))
    if guest.name in host.states():
        raise Failure(f"{guest.name} is still there after xl save")
    return took


def restore(host: Host, guest: XenGuest, path: str = "/data/saved") -> float:
    return timed(lambda: host.xl("restore", host.write_config(guest), path, seconds=PATIENCE))


def listen_for_guest(host: Host, options: str = "") -> None:
    """`xl migrate-receive` behind a port, as sshd would start it."""
    receive = f"xl migrate-receive {options}".strip()
    host.agent.spawn(f"{SOCAT} TCP-LISTEN:{MIGRATION_PORT},reuseaddr EXEC:'{receive}'",
                     "/var/log/xen/migrate-receive.log")
    port = f":{MIGRATION_PORT:04X} "
    wait_until("socat listens for the guest",
               lambda: port in host.agent.check("cat /proc/net/tcp"), PATIENCE, 0.3)


def transport(to: Host) -> list[str]:
    return ["-s", "", f"{SOCAT} - TCP:{to.address}:{MIGRATION_PORT}"]


def migrate(bed: Testbed, guest: XenGuest, source: Host, to: Host) -> dict[str, float]:
    listen_for_guest(to)
    sent = bed.sent_by(source)
    command = ["migrate", *transport(to)]
    if source is to:
        command = ["migrate", "-s", "", f"{SOCAT} - TCP:127.0.0.1:{MIGRATION_PORT}"]
    at = command.index("")
    words = [*command[:at + 1], guest.name, *command[at + 1:]]
    took = timed(lambda: source.xl(*words, seconds=2 * PATIENCE))
    if not to.runs(guest.name):
        raise Failure(f"{guest.name} does not run on {to.name} after its migration: {to.states()}")
    return {"migrate_s": took, "migrate_mb": round((bed.sent_by(source) - sent) / 1e6, 1)}


def devices(host: Host, guest: XenGuest) -> str:
    """What `xl` says of the guest's disks and NICs, without what differs from run to run."""
    # What block-list calls the handle is the domain's number.
    disks = re.sub(r"(?m)^(\d+\s+\d+)\s+\d+", r"\1 domid", host.xl("block-list", guest.name))
    text = disks + host.xl("network-list", guest.name)
    return re.sub(r"\S*/backend/\S*", "", re.sub(r"[ \t]+", " ", text)).strip()
