# SPDX-License-Identifier: GPL-2.0-or-later
"""The encoder's stages beside each other, as in FGBI's table: rows and targets of one load."""
from typing import Any, Sequence

from report import Report, median

STAGES = ("none", "blocks", "sharing", "compression", "all")
COLUMNS = ("row", "epochs", "pages_per_epoch", "whole_kib_per_epoch", "kib_per_epoch", "part_of_whole",
           "kib_after_blocks", "kib_after_sharing", "hit_percent", "encode_us", "decode_us", "pause_p50_us",
           "rate")
# Of query-haven, each a figure of the last epoch.
FIGURES = ("dirty-pages-last", "encoder-bytes", "encoder-bytes-after-blocks", "encoder-bytes-after-sharing",
           "encoder-cache-hits", "encoder-cache-misses", "encoder-us", "decode-us")
# A whole page on the wire.
PAGE_BYTES = 4096 + 8
PART_WANTED, PAUSE_TOLERANCE = 0.25, 1.1


def means(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Over epochs that were seen, each as query-haven says it."""
    sums = {name: sum(int(one[name]) for one in samples) / len(samples) for name in FIGURES}
    looked_up = sums["encoder-cache-hits"] + sums["encoder-cache-misses"]
    whole = sums["dirty-pages-last"] * PAGE_BYTES
    return {"epochs": len(samples), "pages_per_epoch": sums["dirty-pages-last"],
            "whole_kib_per_epoch": whole / 1024, "kib_per_epoch": sums["encoder-bytes"] / 1024,
            "part_of_whole": sums["encoder-bytes"] / max(1.0, whole),
            "kib_after_blocks": sums["encoder-bytes-after-blocks"] / 1024,
            "kib_after_sharing": sums["encoder-bytes-after-sharing"] / 1024,
            "hit_percent": 100 * sums["encoder-cache-hits"] / max(1.0, looked_up),
            "encode_us": sums["encoder-us"], "decode_us": sums["decode-us"]}


def report_load(report: Report, name: str, rounds: dict[str, list[dict[str, float]]]) -> None:
    """A row for each of the stages, the median of its rounds, and the targets."""
    rows = {}
    for stages, ones in rounds.items():
        values = {key: round(median(one[key] for one in ones), 3) for key in ones[0]}
        rows[stages] = report.row(row=f"{name}: {stages}", **values)
    report.at_most(f"{name}: octets with all stages, part of whole pages", PART_WANTED, rows["all"]["part_of_whole"])
    report.at_most(f"{name}: pause p50 with all stages, us: {PAUSE_TOLERANCE} x that with whole pages",
                   PAUSE_TOLERANCE * rows["none"]["pause_p50_us"], rows["all"]["pause_p50_us"])
