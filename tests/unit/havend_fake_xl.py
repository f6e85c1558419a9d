#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for xl on a host without Xen, for havend_xl_receiver_test.

It restores a checkpointed stream as the stock one does, from the format's
specification and without HAVEN's code: pages count when their checkpoint is
complete, an END record lets the last checkpoint run. State is files in
$FAKE_XL: `own.json`, `domains/NAME`; the result goes to `restored.json`. The
files `broken`, `fail_once`, `fail_late` and `fail_trial` there tell it to fail, `hang_trial` to
stand still until it is killed, when it has written `hangs`.

Without -r it restores a plain stream, leaves what that was in `trial.json` and the
domain paused, and waits for the leave to let it run, which a trial never gives.

With $FAKE_XL_STOCK set, a stream that breaks off lets the last checkpoint run,
too, as for the stock one. Without, that is an error: HAVEN must not let it come
to that.
"""
import hashlib
import json
import os
import struct
import sys
import time

HOME = os.environ["FAKE_XL"]


def domain(name):
    return os.path.join(HOME, "domains", name)


def exact(count):
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece and "FAKE_XL_STOCK" in os.environ:
            raise EOFError
        if not piece:
            sys.exit("the stream broke off: a stock xl would run the guest now")
        data += piece
    return data


def record():
    kind, length = struct.unpack("<II", exact(8))
    return kind, exact((length + 7) & ~7)[:length]


def pages(body, memory):
    count, reserved = struct.unpack_from("<II", body)
    frames = struct.unpack_from("<%dQ" % count, body, 8)
    assert reserved == 0 and len(body) == 8 + count * 4104, "PAGE_DATA"
    for i, frame in enumerate(frames):
        at = 8 + count * 8 + i * 4096
        memory[frame] = body[at:at + 4096]


def head():
    os.write(1, b"xl migration receiver ready, send binary domain data.\n")
    assert exact(32) == b"Xen saved domain, xl format\n \0 \r", "xl magic"
    order, mandatory, optional, length = struct.unpack("<IIII", exact(16))
    assert (order, mandatory, optional) == (0x01020304, 3, 0), "xl header"
    optional_data = exact(length)
    assert optional_data[-1:] == b"\0"
    config = json.loads(optional_data[4:-1])
    incoming = config["c_info"]["name"] + "--incoming"
    assert "FAKE_XL_STOCK" in os.environ or not os.path.exists(domain(incoming)), "there is one already"
    open(domain(incoming), "w").close()
    assert exact(16) == struct.pack(">QII", 0x4c6962786c466d74, 2, 0), "libxl header"
    assert record() == (1, b""), "LIBXC_CONTEXT"
    assert exact(24) == struct.pack(">QIIQ", (1 << 64) - 1, 0x58454e46, 3, 0), "libxc header"
    kind, shift, reserved, major, _ = struct.unpack("<IHHII", exact(16))
    assert (kind, shift, reserved) == (2, 12, 0) and major > 0, "domain header"
    assert record()[0] == 0x11 and record()[0] == 0x12 and record() == (0x10, b""), "policies"

    return config, incoming


def checkpointed():
    config, incoming = head()
    memory, staged, emulator, checkpoints = {}, {}, None, 0
    context = staged_context = None
    try:
        while True:
            kind, body = record()
            if kind == 0:
                break
            if kind == 1:
                pages(body, staged)
            elif kind == 9:
                staged_context = body
            elif kind == 0xe:
                kind, body = record()
                assert kind == 3 and body[:8] == struct.pack("<II", 2, 0), "EMULATOR_CONTEXT"
                assert record() == (4, b""), "CHECKPOINT_END"
                memory.update(staged)
                staged.clear()
                emulator, context, checkpoints = body[8:], staged_context, checkpoints + 1
                with open(os.path.join(HOME, "checkpoints"), "w") as out:
                    out.write(str(checkpoints))
            else:
                assert kind in (8, 0xa), "record %#x" % kind
        assert not staged, "pages after the last checkpoint"
    except EOFError:
        assert checkpoints, "the stream broke off before the first checkpoint"
    fail_if_told(config["c_info"]["name"])
    result = {
        "checkpoints": checkpoints,
        "emulator": emulator.decode(),
        "context": context.hex(),
        "uuid": config["c_info"]["uuid"],
        "pages": {str(frame): data[0] for frame, data in memory.items()},
        "digest": hashlib.sha256(b"".join(memory[f] for f in sorted(memory))).hexdigest(),
    }
    with open(os.path.join(HOME, "restored.json"), "w") as out:
        json.dump(result, out)
    os.rename(domain(incoming), domain(config["c_info"]["name"]))


def plain():
    config, _ = head()
    memory, seen = {}, []
    while True:
        kind, body = record()
        if kind == 0:
            break
        if kind == 1:
            pages(body, memory)
        else:
            seen.append(kind)
    assert seen in ([8, 9], [8, 9, 0xa]), "records %s" % seen
    kind, body = record()
    assert kind == 3 and body[:8] == struct.pack("<II", 2, 0), "EMULATOR_CONTEXT"
    assert record() == (0, b""), "END"
    if os.path.exists(os.path.join(HOME, "hang_trial")):
        open(os.path.join(HOME, "hangs"), "w").close()
        time.sleep(1000)
    fail = os.path.join(HOME, "fail_trial")
    if os.path.exists(fail):
        sys.exit(open(fail).read())
    disks = [disk.get("pdev_path") for disk in config.get("disks", [])]
    with open(os.path.join(HOME, "trial.json"), "w") as out:
        json.dump({"emulator": body[8:].decode(), "config": config,
                   "disk_bytes": [os.path.getsize(disk) for disk in disks],
                   "pages": {str(frame): data[0] for frame, data in memory.items()}}, out)
    os.write(1, b"domain received, ready to unpause")
    exact(1)
    sys.exit("a trial must not run")


def fail_if_told(name):
    """Once: before the domain runs, or when it has got its name."""
    for marker, renamed in (("fail_once", False), ("fail_late", True)):
        path = os.path.join(HOME, marker)
        if os.path.exists(path):
            os.unlink(path)
            if renamed:
                os.rename(domain(name + "--incoming"), domain(name))
            sys.exit("told to fail")


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    with open(os.path.join(HOME, "calls"), "a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    if command == "create" and arguments[0] == "-n":
        print(open(arguments[-1]).read())
    elif command == "create":
        if os.path.exists(os.path.join(HOME, "broken")):
            sys.exit("told to fail")
        open(domain(json.load(open(arguments[0]))["c_info"]["name"]), "w").close()
    elif command == "domid":
        sys.exit(0 if os.path.exists(domain(arguments[0])) else 1)
    elif command == "destroy":
        os.unlink(domain(arguments[0]))
    elif command == "migrate-receive":
        if os.path.exists(os.path.join(HOME, "broken")):
            sys.exit("told to fail")
        checkpointed() if "-r" in arguments else plain()


main()
