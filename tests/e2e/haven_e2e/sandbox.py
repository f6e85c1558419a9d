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


# Where /proc cannot be mounted (some containers), processes stay in the name space that we
# are in; the harness ends what it started then, but cannot when it is killed itself.
WITH_PROCESSES = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
WITHOUT_PROCESSES = ["--net", "--mount"]


def enter() -> None:
    """Re-executes the running script inside; returns when we are inside."""
    if os.environ.get(MARK):
        _settle()
        return
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    complaint = ""
    for options in (WITH_PROCESSES, WITHOUT_PROCESSES):
        command = [paths.tool("unshare"), *user, *options]
        probe = subprocess.run(command + ["true"], capture_output=True, text=True)
        if probe.returncode == 0:
            environment = {**os.environ, MARK: "user" if user else "root"}
            os.execve(command[0], command + [sys.executable, *sys.argv], environment)
        complaint = probe.stderr.strip()
    advice = ("run as root, or allow user name spaces (sysctl user.max_user_namespaces, "
              "kernel.unprivileged_userns_clone)" if user else
              "in a container it needs the capability SYS_ADMIN")
    sys.exit(f"cannot make name spaces for the test hosts: {complaint}; {advice}")


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
