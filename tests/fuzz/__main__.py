"""python -m tests.fuzz [--seconds 30] [--seed 1] [target ...]: each reader for so long; a failure can be repeated."""

import argparse
import random
import sys
import time
import traceback
from collections import Counter

from tests.fuzz import TARGETS, run_once


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_000)
    parser.add_argument("--once", action="store_true", help="only the sample of --seed, to repeat a failure")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    failed = False
    for name in asked.targets or TARGETS:
        seed, end = asked.seed, time.monotonic() + asked.seconds
        outcomes: Counter[str] = Counter()
        while time.monotonic() < end:
            try:
                outcomes[run_once(TARGETS[name], random.Random(seed))] += 1
            except Exception:
                traceback.print_exc()
                print(f"{name}: failed; repeat with python -m tests.fuzz {name} --once --seed {seed}")
                failed = True
                break
            if asked.once:
                break
            seed += 1
        common = ", ".join(f"{code} {count}" for code, count in outcomes.most_common(5))
        print(f"{name}: {outcomes.total()} samples from seed {asked.seed}: {common}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
