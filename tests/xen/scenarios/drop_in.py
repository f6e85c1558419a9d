# SPDX-License-Identifier: GPL-2.0-or-later
"""The drop-in: HAVEN's device model, with HAVEN not switched on, does what the stock one
does. One script runs with both; `device_model_override` is all that differs. Create, save,
restore, local live migration, a disk and a NIC plugged in and out; what `xl` says of the
devices after each step has to be the same text, and the client's connection to go on.
In short: the patched one alone, which must say after each step what it said after the first."""
from haven_xen import guest as guests, steps
from haven_xen.bed import Testbed
from haven_xen.guest import XenGuest
from haven_xen.host import Host
from haven_e2e.processes import Failure, Skip
from haven_e2e.scenario import Notes

SHORT = True
EXTRA_DISK = "format=raw,vdev=xvdf,access=rw,backendtype=qdisk,target=/data/extra"
EXTRA_NIC = "mac=52:54:00:77:00:11,bridge=xenbr0,type=vif"


def run(bed: Testbed, t: Notes) -> None:
    patched = bed.a.agent.run(f"{guests.PATCHED} --version")
    if patched.status == 127:
        raise Skip(f"there is no {guests.PATCHED} to compare; `make qemu-dm` builds it")
    if patched.status != 0:
        raise Failure(f"{guests.PATCHED} does not run in dom0: {patched.err.strip()}")
    stock = XenGuest()
    models = {"stock": stock, "patched": stock.with_model(guests.PATCHED)}
    if bed.short:
        del models["stock"]
    seen = {}
    for word, guest in models.items():
        seen[word], times = _life(bed, guest)
        t(**{f"{word}_{key}": value for key, value in times.items()})
        bed.disconnect()
    for step in ("unplug", "restore", "local migration"):
        if seen["patched"][step] != seen["patched"]["create"]:
            raise Failure(f"after {step}: {seen['patched'][step]!r}, before: {seen['patched']['create']!r}")
    for step in seen.get("stock", ()):
        if seen["stock"][step] != seen["patched"][step]:
            raise Failure(f"after {step}, stock: {seen['stock'][step]!r}, patched: {seen['patched'][step]!r}")


def _life(bed: Testbed, guest: XenGuest) -> "tuple[dict[str, str], dict[str, float]]":
    host, seen = bed.a, {}
    times = steps.boot(bed, guest)
    _require_model(host, guest)
    seen["create"] = steps.devices(host, guest)
    seen["hot-plug"], seen["unplug"] = _hot_plug(host, guest)
    times["save_s"] = steps.save(host, guest)
    times["restore_s"] = steps.restore(host, guest)
    _require_model(host, guest)
    seen["restore"] = steps.devices(host, guest)
    steps.still_answers(bed)
    times.update(steps.migrate(bed, guest, host, host))
    _require_model(host, guest)
    seen["local migration"] = steps.devices(host, guest)
    steps.still_answers(bed)
    bed.the_client().verify_guest()
    bed.the_client().control("poweroff")
    host.wait_gone(guest.name, steps.PATIENCE)
    return seen, times


def _require_model(host: Host, guest: XenGuest) -> None:
    path = host.device_model_path(guest.name)
    wanted = guest.device_model or "/usr/libexec/xen-qemu-system-i386"
    if path not in (wanted, host.agent.check(f"readlink -f {wanted}").strip()):
        raise Failure(f"the device model of {guest.name} is {path}, not {wanted}")


def _hot_plug(host: Host, guest: XenGuest) -> "tuple[str, str]":
    host.agent.check("truncate -s 8M /data/extra")
    host.xl("block-attach", guest.name, EXTRA_DISK)
    host.xl("network-attach", guest.name, EXTRA_NIC)
    plugged = steps.devices(host, guest)
    # The guest has no PV drivers that would answer to a polite request.
    host.xl("block-detach", guest.name, "xvdf", "--force")
    host.xl("network-detach", guest.name, "1")
    return plugged, steps.devices(host, guest)
