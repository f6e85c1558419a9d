#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the ELF kernel that a bzImage carries: extract-vmlinux.py BZIMAGE VMLINUX.

Decompressing inside an emulated machine costs seconds of every boot; QEMU starts
the ELF file directly through its PVH entry point.
Source: Linux Documentation/x86/boot.rst (setup_sects, payload_offset, payload_length).
"""
import gzip
import lzma
import struct
import sys


def payload(image: bytes) -> bytes:
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage (no HdrS at 0x202)")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def decompress(data: bytes) -> bytes:
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data[:-4])
    if data[:4] == b"\x7fELF":
        return data
    raise ValueError(f"compression of the kernel is not known (begins {data[:6].hex()})")


def main() -> int:
    with open(sys.argv[1], "rb") as source:
        kernel = decompress(payload(source.read()))
    if kernel[:4] != b"\x7fELF":
        raise ValueError("the payload is no ELF file")
    with open(sys.argv[2], "wb") as target:
        target.write(kernel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
