# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a script in name spaces of its own, so that nothing it makes is visible
outside and everything vanishes with it: network, mounts and processes; and users
when we are not root. The script is process 1 there: when it dies, all it started dies."""
import os
import signal
import subprocess
import sys

from . import paths

MARK = "HAVEN_E2E_SANDBOX"


def enter() -> None:
    """Re-executes the running script inside; returns when we are inside."""
    if os.environ.get(MARK):
        _settle()
        return
    command = [paths.tool("unshare"), "--net", "--mount", "--pid", "--fork",
               "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
        probe = subprocess.run(command + ["true"], stderr=subprocess.PIPE, text=True)
        if probe.returncode != 0:
            sys.exit("cannot make a user name space (" + probe.stderr.strip() + "); run as root, or "
                     "allow it: sysctl kernel.unprivileged_userns_clone=1")
    environment = dict(os.environ)
    environment[MARK] = "user" if os.geteuid() != 0 else "root"
    os.execve(command[0], command + [sys.executable, *sys.argv], environment)


def is_real_root() -> bool:
    return os.environ.get(MARK) == "root"


def _settle() -> None:
    # As process 1 only signals with a handler reach us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit("hung up"))
    subprocess.run([paths.tool("mount"), "-t", "tmpfs", "none", "/run"], check=True)
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run([paths.tool("ip"), "link", "set", "lo", "up"], check=True)
