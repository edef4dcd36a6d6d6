"""Fetches what the browser tests drive: Debian's chromium, and axe-core from the npm registry, pinned by its hash.

    python tests/browser/install.py

Needs Debian (or a chromium at /usr/bin/chromium) and npm, and a network once; later runs find everything there.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / "build" / "browser"
CHROMIUM = Path("/usr/bin/chromium")
AXE = HOME / "axe.min.js"
AXE_VERSION = "4.14.1"
AXE_HASH = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


def missing() -> str:
    """Why the browser is unavailable here; empty if it is not."""
    if not CHROMIUM.exists():
        return "there is no /usr/bin/chromium; make test-browser installs it"
    return "" if AXE.exists() else "axe-core is not here; make test-browser fetches it"


def packages(*names: str) -> None:
    if not shutil.which("apt-get"):
        sys.exit(f"These come from Debian's packages, and there is no apt-get here: {', '.join(names)}")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*sudo, "apt-get", "update", "-q"], check=True, env=environment)
    subprocess.run([*sudo, "apt-get", "install", "-q", "-y", "--no-install-recommends", *names], check=True,
                   env=environment)  # fmt: skip


def axe() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"axe-core@{AXE_VERSION}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (packed,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if found != AXE_HASH:
            sys.exit(f"axe-core {AXE_VERSION} is not what it was: its SHA-512 is {found}")
        with tarfile.open(packed) as archive:
            file = archive.extractfile("package/axe.min.js")
            assert file is not None
            AXE.write_bytes(file.read())


def main() -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    wanted = [] if CHROMIUM.exists() else ["chromium", "fonts-liberation"]
    if not AXE.exists() and not shutil.which("npm"):
        wanted.append("npm")
    if wanted:
        packages(*wanted)
    if not AXE.exists():
        axe()
    print(f"chromium at {CHROMIUM}, axe-core {AXE_VERSION} in {HOME}")


if __name__ == "__main__":
    main()
