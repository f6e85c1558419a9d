# SPDX-License-Identifier: GPL-2.0-or-later
"""A site of some hundred static files: make_site.py FOLDER TEXTS

Pages, style sheets and scripts consist of text (of the files in TEXTS, which are C headers),
pictures of octets that nothing compresses. FOLDER.requests has the paths in the order in which
a client asks for them: file number N is asked for in proportion to 1/N."""
import html
import math
import random
import sys
from pathlib import Path

FILES, REQUESTS, LARGEST = 300, 4096, 512 * 1024
# Kind, how many of ten files, median of the sizes.
KINDS = (("html", 5, 9000), ("css", 1, 12000), ("js", 1, 25000), ("jpg", 3, 30000))


def main() -> None:
    folder, texts = Path(sys.argv[1]), Path(sys.argv[2])
    rng = random.Random(7)
    text = html.escape("".join(path.read_text(errors="replace") for path in sorted(texts.glob("*.h"))))
    weighted = [kind for kind, parts, _ in KINDS for _ in range(parts)]
    medians = {kind: median for kind, _, median in KINDS}
    folder.mkdir()
    paths = []
    for number in range(FILES):
        kind = rng.choice(weighted)
        size = min(LARGEST, int(rng.lognormvariate(math.log(medians[kind]), 1.0)))
        begin = rng.randrange(len(text) - size)
        content = rng.randbytes(size) if kind == "jpg" else text[begin:begin + size].encode()[:size]
        (folder / f"{number}.{kind}").write_bytes(content)
        paths.append(f"/{number}.{kind}")
    asked = rng.choices(paths, [1 / (number + 1) for number in range(FILES)], k=REQUESTS)
    folder.with_suffix(".requests").write_text("\n".join(asked) + "\n")


main()
