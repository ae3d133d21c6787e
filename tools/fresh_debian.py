"""A Debian 12 of its own in a folder: what debootstrap installs, and nothing of this machine.

For programs that try what people do first (try_package.py, try_newcomer.py). Needs root, namespaces, overlayfs, and the
packages debootstrap and systemd-container. What debootstrap made is kept in ~/.cache/isotope-fresh-debian; each machine is a
layer over it, which goes when the machine does. The network is this machine's, and so are certificates that its administrator
has added, for pip too.
"""
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "isotope-fresh-debian"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
NEEDED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}


def missing():
    """Why there can be no such machine here, or None."""
    if os.geteuid() != 0:
        return "it takes root"
    for program, package in NEEDED.items():
        if not shutil.which(program):
            return f"{program} is missing: apt install {package}"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode != 0:
        return "namespaces are not permitted"
    return None


def base(packages):
    """The folder with a minimal Debian and these packages, made if need be."""
    name = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8] if packages else "minimal"
    folder = CACHE / f"bookworm-{name}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=CACHE))
        include = ["--include=" + ",".join(packages)] if packages else []
        subprocess.run(["debootstrap", "--variant=minbase", *include, "bookworm", made, MIRROR], check=True,
                       stdout=subprocess.DEVNULL)
        made.chmod(0o755)
        made.rename(folder)
    return folder


def copy_settings(root):
    """What an administrator of this network would set up."""
    certificates = root / "usr/local/share/ca-certificates"
    certificates.mkdir(parents=True, exist_ok=True)
    for file in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(file, certificates)
    if Path("/etc/pip.conf").exists():
        shutil.copy("/etc/pip.conf", root / "etc")


class Machine:
    """A machine that is on, with the folder as its disk and a systemd of its own, or with nothing but what is run."""

    def __init__(self, root):
        self.root = root
        self.console = root.parent / "console"
        self.boots = False
        self.nspawn = None
        self.leader = None

    def command(self, text, environment=None):
        """The command that runs this text in a shell of the machine, with no variables but these."""
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
                     "TERM": "dumb", **(environment or {})}
        return ["nsenter", f"--target={self.leader}", "--all", "--root", "--wd", "/usr/bin/env", "-i",
                *(f"{name}={value}" for name, value in variables.items()), "/bin/bash", "-c", text]

    def run(self, text, check=True, environment=None):
        """What it prints, both streams as they come."""
        done = subprocess.run(self.command(text, environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if check and done.returncode != 0:
            raise AssertionError(f"`{text}` ended with {done.returncode}:\n{done.stdout}")
        return done.stdout.strip()

    def start(self, boot, binds=(), seconds=120):
        """Turns it on; with `boot` its systemd starts everything. `binds`: pairs of a folder here and one there."""
        self.boots = boot
        process = ["--boot", "--console=pipe"] if boot else ["--as-pid2", "/bin/sleep", "infinity"]
        with open(self.console, "ab") as console:
            self.nspawn = subprocess.Popen(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--resolv-conf=replace-host",
                                            f"--directory={self.root}", *(f"--bind={here}:{there}" for here, there in binds), *process],
                                           stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.nspawn.poll() is None:
            self.leader = self._first_process()
            if self.leader and (not boot or self.run("systemctl is-system-running", check=False) in ("running", "degraded")):
                return
            time.sleep(0.1)
        raise AssertionError("the machine does not start:\n" + self.console.read_text(errors="replace")[-4000:])

    def _first_process(self):
        """Its process 1, as this machine numbers it, once it has the machine's files."""
        for child in Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{child}/status").read_text()
                name, ids = (re.search(rf"(?m)^{field}:\s*(.*)$", status)[1] for field in ("Name", "NSpid"))
                if ids.split()[-1] == "1" and "systemd-nspawn" not in name and os.readlink(f"/proc/{child}/exe"):
                    return child
        return None

    def halt(self):
        if self.nspawn is None:
            return
        if self.boots and self.leader:
            self.run("systemctl poweroff", check=False)
        else:
            self.nspawn.terminate()
        try:
            self.nspawn.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        self.nspawn = self.leader = None

    def copy(self, source, target):
        """A file or folder of this machine into that one."""
        target = self.root / str(target).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-rL", "--no-preserve=ownership", source, target], check=True)


@contextlib.contextmanager
def machine(packages=()):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing stays mounted
    lower = base(packages)
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    for name in ("root", "upper", "work"):
        (folder / name).mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "overlay", "isotope-fresh-debian", folder / "root", "-o",
                    f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"], check=True)
    made = Machine(folder / "root")
    try:
        copy_settings(made.root)
        yield made
    finally:
        made.halt()
        subprocess.run(["umount", folder / "root"], check=True)
        shutil.rmtree(folder)

