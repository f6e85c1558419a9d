# SPDX-License-Identifier: GPL-2.0-or-later
"""The encoder's stages under Xen, for `scripts/bench encoder --xen`: the guest with Debian's
servers (scripts/bench-parts/servers-image), without PV drivers, protected once for each load
and stage. Its disks are on virtio: a request of an emulated IDE disk is a dozen port accesses, each
of which stops a guest here. Checkpoints are a second apart: after each the guest traps at its first
access to every page, which takes an emulated Xen a fifth of a millisecond, so that in 200 ms PostgreSQL gets
through its memory not even once. A load that is not done some time after its window has the rate 0.

Figures are means over the epochs that were seen; `haven status` takes so long here that
this is not every one."""
import os
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any, Optional

from haven_xen import measure, places, steps
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, protected_guest, status
from haven_xen.host import Host
from haven_e2e.client import QUIET
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

sys.path.insert(0, str(places.ROOT / "tests" / "bench"))
import ablation  # noqa: E402
import server_loads  # noqa: E402

LOADS = os.environ.get("HAVEN_BENCH_LOADS", "sql kv web build kvd").split()
# 16 clients of pgbench take this guest half a minute to connect.
SERVER_LOADS = {**server_loads.LOADS,
                "sql": replace(server_loads.LOADS["sql"], words=partial(server_loads.pgbench, clients=4))}
# The tests' own store: by itself, and with a load that writes random octets to whole pages.
KVD = {"kvd": QUIET, "kvd-busy": measure.LOAD}
INTERVAL_MS = int(os.environ.get("HAVEN_BENCH_INTERVAL", "1000"))
MEMORY_MIB, WARM_SECONDS, DONE_SECONDS = 320, 10, 60
DISKS_MIB = (384, 16)
# Where hostA and hostB see the images; the guest's own disks are /data's.
SERVERS, BOOT = "/dev/vdf", "/data/bench-boot.elf"


def run(bed: Testbed, t: Notes) -> None:
    rounds: "dict[str, dict[str, list[dict[str, float]]]]" = {}
    t(rounds=rounds)
    for host in bed.both():
        _plug(host)
    arguments = ["-device", f"loader,file={BOOT}",
                 "-drive", f"id=servers,file={SERVERS},format=raw,if=none,readonly=on",
                 "-device", "virtio-blk-pci,drive=servers"]
    guest = replace(protected_guest(), memory_mib=MEMORY_MIB, virtio=True, loaded=False, device_model_args=arguments)
    protection = Protection(bed, guest, interval_ms=INTERVAL_MS, disks_mib=DISKS_MIB)
    protection.start_backup()
    measure.say("the guest boots")
    protection.boot(Notes(), rate=2, stall=300)
    for name in LOADS:
        _load(bed, protection, name, rounds.setdefault(name, {}))


def _plug(host: Host) -> None:
    """The servers' disk and the guest's boot image become disks of the emulated host."""
    images = {"servers": server_loads.IMAGE / "root.img", "boot": server_loads.IMAGE / "xen" / "boot.elf"}
    with host.emulator.qmp() as monitor:
        for name, path in images.items():
            monitor("blockdev-add", node_name=f"bench-{name}", driver="raw", read_only=True,
                    file={"driver": "file", "filename": str(path), "locking": "off"})
            monitor("device_add", driver="virtio-blk-pci", drive=f"bench-{name}", id=f"bench-{name}")
    size = images["boot"].stat().st_size
    host.agent.check("for i in $(seq 100); do [ -e /dev/vdg ] && break; sleep 0.2; done; "
                     f"head -c {size} /dev/vdg >{BOOT} && [ -e {SERVERS} ]", seconds=120)


def _load(bed: Testbed, protection: Protection, name: str, rows: "dict[str, list[dict[str, float]]]") -> None:
    server = SERVER_LOADS.get(name)
    if server:
        # Without the store's filling: it is written to soon enough.
        server = replace(server, fill=None, warm_seconds=20)
        measure.say(f"{name}: warming up")
        measure.say(f"{name}: {server.prepare():.4g} a second, unprotected")
    else:
        bed.the_client().load(**KVD[name])
    for stages in ablation.STAGES:
        measure.say(f"{name}: {stages}")
        rows[stages] = [_measure(bed, protection, stages, server)]
    if server:
        server.end()
    else:
        bed.the_client().load(**QUIET)


def _measure(bed: Testbed, protection: Protection, stages: str,
             server: "Optional[server_loads.ServerLoad]") -> "dict[str, float]":
    guest = protection.guest.name
    haven(bed.a, "protect", guest, "--to", f"{bed.b.address}:{protection.port}", "--interval", INTERVAL_MS,
          "--deadline", protection.deadline_ms, "--encoder", stages)
    process = server.begin(WARM_SECONDS + measure.WINDOW) if server else None
    time.sleep(WARM_SECONDS)
    acked, begin = bed.the_client().acked(), time.monotonic()
    samples: "dict[int, dict[str, Any]]" = {}
    while time.monotonic() < begin + measure.WINDOW:
        figures = {key.replace("_", "-"): value for key, value in status(bed.a).items()}
        if figures["state"] != "protected":
            raise Failure(f"the guest is {figures['state']}: {figures.get('message')}")
        samples[int(figures["epoch"])] = figures
    rate = (bed.the_client().acked() - acked) / (time.monotonic() - begin)
    if server and process:
        try:
            rate = server.finish(process, DONE_SECONDS)
        except server_loads.NotDone:
            rate = 0.0
    pause = float(status(bed.a)["pause_p50_us"])
    haven(bed.a, "unprotect", guest)
    steps.still_answers(bed, 1)
    return {**ablation.means(list(samples.values())), "pause_p50_us": pause, "rate": rate}
