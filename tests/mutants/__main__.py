"""Mutation testing of `domain/actions` and `domain/contracts`, judged by the pure tests (`tests/domain`).

`make mutants` tries a seeded sample, `make mutants ARGS="--sample 0"` all of them; `--seed` chooses another sample.
mutmut makes the mutants and runs the tests; here a workspace is laid out for it, the sample is drawn and summed up.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = ROOT / "build/mutants"
JUDGED = ("retour/domain/actions/", "retour/domain/contracts/")
SAMPLE, SEED = 300, 9
TARGET = 95.0
KILLED = {1, 2, 3}
"""How pytest ends where a test failed or could not run with the mutant."""
TIMED_OUT = {24, 36, 152, 255, -24, -9}


def lay_out() -> None:
    """The package, its pure tests and nothing else: what mutmut changes is never the source itself."""
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "shared/retour", WORKSPACE / "retour", ignore=leave_out)
    shutil.copytree(ROOT / "tests/domain", WORKSPACE / "tests/domain", ignore=leave_out)
    shutil.copy(ROOT / "tests/__init__.py", WORKSPACE / "tests")
    shutil.copy(ROOT / "tests/mutants/hypothesis_profile.py", WORKSPACE / "conftest.py")
    listed = "".join(f"    {path}\n" for path in JUDGED)
    (WORKSPACE / "setup.cfg").write_text(
        f"[mutmut]\nsource_paths=\n{listed}pytest_add_cli_args_test_selection=\n    tests/domain\n"
        "also_copy=\n    retour\n    tests\n"
    )


def mutmut(*names: str, processes: int) -> None:
    command = [sys.executable, "-m", "mutmut", "run", *names, "--max-children", str(processes)]
    subprocess.run(command, cwd=WORKSPACE, check=False, stdout=subprocess.DEVNULL)


def codes() -> dict[str, int | None]:
    """Every mutant by its name, with how the tests ended; None where it was not tried."""
    found: dict[str, int | None] = {}
    for meta in sorted((WORKSPACE / "mutants").rglob("*.meta")):
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


def sample(names: Sequence[str], most: int, seed: int) -> list[str]:
    shuffled = random.Random(seed).sample(sorted(names), len(names))
    return shuffled[:most] if most else shuffled


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description="Do the pure tests notice a fault in the rules?")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="so many mutants; 0: all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the sample (default %(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="of mutants whose name contains this")
    arguments = parser.parse_args()
    lay_out()
    mutmut("retour.domain.actions.fence.x_held_records__mutmut_1", processes=1)
    made = [name for name in codes() if arguments.only in name]
    if not made:
        print(f"mutmut made no mutants; look for why in {WORKSPACE}")
        return 2
    chosen = sample(made, arguments.sample, arguments.seed)
    print(f"{len(chosen)} of {len(made)} mutants are tried", file=sys.stderr)
    mutmut(*chosen, processes=arguments.processes)
    return report_killed(chosen, len(made))


def report_killed(chosen: Sequence[str], of: int) -> int:
    ended = codes()
    kinds = Counter(kind(ended.get(name)) for name in chosen)
    tried = len(chosen) - kinds["not tried"]
    share = 100 * (kinds["killed"] + kinds["timed out"]) / max(tried, 1)
    print(f"{tried} of {of} mutants tried: {dict(kinds)}; {share:.1f} % killed, {TARGET} % wanted")
    for name in sorted(name for name in chosen if kind(ended.get(name)) in ("survived", "no test")):
        shown = subprocess.run(
            [sys.executable, "-m", "mutmut", "show", name], cwd=WORKSPACE, check=False, capture_output=True, text=True
        )
        print(f"\n{kind(ended.get(name))}: {name}")
        print(
            "\n".join(line for line in shown.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))
        )
    return 0 if share >= TARGET and not kinds["not tried"] else 1


def kind(code: int | None) -> str:
    if code is None:
        return "not tried"
    if code in KILLED:
        return "killed"
    if code in TIMED_OUT:
        return "timed out"
    return "survived" if code == 0 else "no test"


if __name__ == "__main__":
    sys.exit(main())
