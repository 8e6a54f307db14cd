"""Run processes in isolation: with their own disks, and with no network except the loopback interface."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# A new loopback interface is down. SIOCGIFFLAGS and SIOCSIFFLAGS read and set an interface's flags; IFF_UP is 1.
LOOPBACK = """import fcntl, socket, struct
with socket.socket() as one:
    name, flags = struct.unpack("16sh", fcntl.ioctl(one, 0x8913, struct.pack("16sh", b"lo", 0)))
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", name, flags | 1))"""


class Apart:
    """An isolated view of the machine, which lives as long as the process `holder`."""

    def __init__(self, holder, own):
        self.root = Path(f"/proc/{holder}/root")
        self.enter = ["nsenter", f"--target={holder}", "--mount", "--net", *own]
        self.run(sys.executable, "-c", LOOPBACK)

    def through(self, folder):
        """Return the start of a command line; what follows it runs in this view and in `folder`."""
        return [*self.enter, "env", f"--chdir={folder}"]

    def run(self, *command):
        """Run a command that must succeed."""
        subprocess.run([*self.enter, *command], check=True)

    def disk(self, folder, size):
        """Mount an empty disk of `size` bytes at `folder`, and return the path by which other processes see it."""
        self.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
        return self.root / Path(folder).relative_to("/")


@contextlib.contextmanager
def apart():
    """Give an `Apart` for the duration of a `with` block; skip the test if the kernel does not allow one."""
    if shutil.which("unshare") is None:
        pytest.skip("disks for single processes need Linux, with unshare and nsenter of util-linux")
    user, own = ([], []) if os.getuid() == 0 else (["--user", "--map-root-user"], ["--user", "--preserve-credentials"])
    holder = subprocess.Popen(
        ["unshare", *user, "--mount", "--net", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if holder.stdout.readline() != "ready\n":
        why = holder.communicate()[1].strip()
        assert "not permitted" in why, why
        pytest.skip(f"the kernel does not let this user mount disks: {why}")
    try:
        yield Apart(holder.pid, own)
    finally:
        holder.communicate()


def fill(disk, left):
    """Fill the disk that contains `disk`, except for `left` bytes, and return the file that fills it."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - left))
    return filler
