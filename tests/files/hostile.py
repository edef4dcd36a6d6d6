"""Read a file in a subprocess with limits on memory and time, and report the result."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MEGABYTES = 400
SECONDS = 60

CHILD = """
import json, resource, sys, time
sys.path[:0] = json.loads(sys.argv[2])
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row
from retour.files.open import open_file
from retour.files import jsonlines, xml
from retour.files.workbook import xls, xlsx

limit = int(sys.argv[3]) << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[4]), int(sys.argv[4])))


def peak():
    # the most memory this process ever had, in KB
    try:
        return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
    except (OSError, ValueError, IndexError):
        return 0


before = peak()
with open(sys.argv[1], "rb") as stream:
    found = open_file("x", stream, Source(name="s", channel=Channel.SFTP))
    if isinstance(found, Refusal):
        said = {"refused": found.code}
    else:
        rows = codes = 0
        told = []
        for row in found.rows:
            if isinstance(row, Row):
                rows += 1
            else:
                codes += 1
                told = (told + [row.code])[:5]
        said = {"rows": rows, "codes": told, "unreadable": codes}
said["megabytes"] = (peak() - before) >> 10
print(json.dumps(said))
"""


def read_in_subprocess(path: Path, megabytes: int = MEGABYTES, seconds: int = SECONDS) -> dict[str, Any]:
    """The result of open_file and its rows. Raises AssertionError if the process exceeds its limits."""
    paths = json.dumps([part for part in sys.path if part])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), paths, str(megabytes), str(seconds)],
        capture_output=True,
        timeout=seconds * 3,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said
