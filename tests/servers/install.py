"""Fetches real FTP and SFTP servers into a folder of their own; nothing is installed on the machine.

    python tests/servers/install.py [FOLDER]

Debian's packages of the FTP servers conflict with each other, so they are downloaded with apt-get and unpacked side by
side. Needs Debian 12 with its package lists (apt-get update) and a network, once; later runs find everything there.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ.get("RETOUR_TEST_SERVERS") or Path(__file__).resolve().parents[2] / "build" / "servers")
PACKAGES = {
    "vsftpd": ("vsftpd",),
    "proftpd": ("proftpd-core", "proftpd-mod-crypto"),
    "pureftpd": ("pure-ftpd", "pure-ftpd-common"),
    "openssh": ("openssh-server", "openssh-sftp-server"),
    # What they need beyond a bare Debian.
    "libraries": (
        "libcom-err2", "libgssapi-krb5-2", "libhashkit2", "libhiredis0.14", "libk5crypto3", "libkeyutils1", "libkrb5-3",
        "libkrb5support0", "libmemcached11", "libmemcachedutil2", "libnsl2", "libpcre2-posix3", "libsasl2-2",
        "libsodium23", "libssl3", "libtirpc3", "libwrap0",
    ),
}  # fmt: skip


def possible() -> str:
    """Why the servers cannot be had here; empty when they can."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return "the real servers come from Debian packages, and there is no apt-get here"
    if "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text():
        return "the real servers are packages of Debian 12, and this is another system"
    if os.geteuid() != 0:
        return "the FTP servers start as root only"
    return ""


def install(home: Path = HOME) -> None:
    """All servers in place; several test processes may ask at once."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpack(home)


def unpack(home: Path) -> None:
    for server, packages in PACKAGES.items():
        root = home / server
        if (root / ".unpacked").exists():
            continue
        shutil.rmtree(root, ignore_errors=True)
        archives = root / "archives"
        archives.mkdir(parents=True)
        if not download(packages, archives):
            run("apt-get", "update")
            if not download(packages, archives):
                raise SystemExit(f"apt-get download {' '.join(packages)} failed")
        for archive in sorted(archives.glob("*.deb")):
            run("dpkg", "-x", str(archive), str(root))
        shutil.rmtree(archives)
        (root / ".unpacked").touch()


def download(packages: tuple[str, ...], into: Path) -> bool:
    return subprocess.run(["apt-get", "download", "-qq", *packages], cwd=into, capture_output=True).returncode == 0


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    reason = possible()
    if reason:
        sys.exit(reason)
    install(Path(sys.argv[1]) if len(sys.argv) > 1 else HOME)
