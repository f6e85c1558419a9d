#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a Linux guest that a Xen HVM domain under emulation boots quickly.

usage: xen-guest-boot.py VMLINUX BZIMAGE INITRAMFS TRAMPOLINE.S OUT_FOLDER

Under Xen, QEMU's direct kernel boot hands kernel and initrd to the guest byte by byte
through an I/O port, a minute for 10 MB here, and the guest then decompresses it. So the
kernel that xl gets (OUT/kernel) is Debian's real-mode setup code and a jump; the
uncompressed kernel, its initramfs and the code that enters it (OUT/boot.elf) are put into
memory by QEMU's `loader` device."""
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TRAMPOLINE, INITRD = 0x4F00000, 0x5000000
PT_LOAD = 1


def load_segments(elf: bytes) -> "tuple[int, list[tuple[int, bytes, int]]]":
    """Entry point, and (physical address, content, size in memory) of each segment."""
    entry, offset = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    found = []
    for number in range(count):
        kind, _, at, _, physical, in_file, in_memory, _ = struct.unpack_from(
            "<IIQQQQQQ", elf, offset + number * size)
        if kind == PT_LOAD:
            found.append((physical, elf[at:at + in_file].rstrip(b"\0"), in_memory))
    return entry, found  # memory is zero already, and the kernel clears its bss


def write_elf(path: Path, segments: "list[tuple[int, bytes, int]]") -> None:
    at = 64 + 56 * len(segments)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, TRAMPOLINE, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    for address, content, _ in segments:
        head += struct.pack("<IIQQQQQQ", PT_LOAD, 7, at, address, address, len(content), len(content), 1)
        at += len(content)
    path.write_bytes(head + b"".join(content for _, content, _ in segments))


def assemble(source: Path, **constants: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made, linked, flat = (f"{folder}/{name}" for name in ("t.o", "t.elf", "t.bin"))
        defines = [f"-D{name}={value:#x}" for name, value in constants.items()]
        subprocess.run(["gcc", "-c", *defines, "-o", made, str(source)], check=True)
        subprocess.run(["ld", f"-Ttext={TRAMPOLINE:#x}", "-o", linked, made], check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", linked, flat], check=True)
        return Path(flat).read_bytes()


def main() -> None:
    vmlinux, bzimage, initramfs, source, out = (Path(word) for word in sys.argv[1:])
    entry, segments = load_segments(vmlinux.read_bytes())
    end = max(address + size for address, _, size in segments)
    if end > TRAMPOLINE:
        sys.exit(f"xen-guest-boot.py: the kernel ends at {end:#x}, beyond {TRAMPOLINE:#x}")
    initrd = initramfs.read_bytes()
    code = assemble(source, KERNEL_ENTRY=entry, INITRD_START=INITRD, INITRD_BYTES=len(initrd))
    segments += [(TRAMPOLINE, code, len(code)), (INITRD, initrd, len(initrd))]
    write_elf(out / "boot.elf", segments)
    image = bzimage.read_bytes()
    setup = image[:(image[0x1F1] + 1) * 512]
    jump = b"\xb8" + struct.pack("<I", TRAMPOLINE) + b"\xff\xe0"  # mov eax, jmp *eax
    (out / "kernel").write_bytes(setup + jump.ljust(4096, b"\0"))


main()
