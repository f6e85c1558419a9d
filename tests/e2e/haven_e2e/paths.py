# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the programs under test and the guest are. Environment variables override:
HAVEN_PREFIX (installed product), HAVEN_QEMU (device model), HAVEN_GUEST (guest image)."""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PREFIX = Path(os.environ.get("HAVEN_PREFIX", ROOT / "build" / "root"))
HAVEN = PREFIX / "bin" / "haven"
HAVEND = PREFIX / "sbin" / "havend"
QEMU = Path(os.environ.get("HAVEN_QEMU", PREFIX / "libexec" / "haven" / "qemu-dm"))
GUEST = Path(os.environ.get("HAVEN_GUEST", ROOT / ".cache" / "guest"))
E2E = ROOT / "tests" / "e2e"
CHECKER = E2E / "checker.py"
ARBITER = E2E / "arbiter"


def tool(name: str) -> str:
    """A system tool; /sbin is not on every user's PATH."""
    for folder in os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/sbin"]:
        if folder and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise FileNotFoundError(f"{name} is not installed; run scripts/setup")


def require_product() -> None:
    """Ends the program with a hint when something to test is not there."""
    for path in (HAVEN, HAVEND, QEMU, GUEST / "vmlinux", GUEST / "initramfs"):
        if not path.exists():
            sys.exit(f"{path} is not there; run scripts/setup")


def qemu_img() -> str:
    for path in (QEMU.parent / "qemu-img", ROOT / ".cache" / "qemu-build" / "qemu-img"):
        if path.exists():
            return str(path)
    return tool("qemu-img")
