"""`python -m tests.soak --seed N -v` plays one history and prints all of it; without a seed, as many as asked for.

`--faults`, `--kills`, `--orders` and `--hub-kills` say how often something is tried on the embedded AWS instead, with
`--first` as the seed; `--actions` how many are told of one day.
"""

import argparse
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.soak.run import FailedHistory, first_failure
from tests.soak.weave import Scheduler

CHUNK = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one history")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every store call of it")
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--faults", type=int, default=0, help="so many runs against a store that is unwell")
    parser.add_argument("--kills", type=int, default=0, help="so many workers end in the midst of their work")
    parser.add_argument("--orders", type=int, default=0, help="so many deliveries in twenty orders of arrival")
    parser.add_argument(
        "--actions", type=int, default=0, help="so many actions of one day, and what a key bears of them"
    )
    parser.add_argument("--hub-kills", type=int, default=0, help="so often the whole local hub is killed")
    asked = parser.parse_args()
    if asked.faults or asked.kills or asked.orders or asked.actions or asked.hub_kills:
        return tried(asked)
    if asked.seed is not None:
        return one(asked.seed, asked.verbose)
    started, done = time.monotonic(), 0
    last = asked.first + asked.histories
    with ProcessPoolExecutor(asked.processes) as pool:
        chunks = [range(seed, min(seed + CHUNK, last)) for seed in range(asked.first, last, CHUNK)]
        running = [pool.submit(first_failure, chunk) for chunk in chunks]
        for chunk in as_completed(running):
            bad = chunk.result()
            if bad:
                for other in running:
                    other.cancel()
                print(f"\n{bad}", file=sys.stderr)
                return 1
            done = min(done + CHUNK, asked.histories)
            rate = done / (time.monotonic() - started)
            left = (asked.histories - done) / rate / 60
            print(f"\r{done:>11,} histories, {rate:,.0f} a second, {left:.0f} min left ", end="", flush=True)
    print(f"\n{asked.histories:,} histories, and every promise kept")
    return 0


def tried(asked: argparse.Namespace) -> int:
    """What needs the embedded AWS; its parts are loaded only here."""
    from tests.soak.faults import run_faults, run_kills, run_orders, timed
    from tests.soak.hot_keys import run_hot_keys
    from tests.soak.hub_kills import run_hub_kills

    for run, number in (
        (run_faults, asked.faults),
        (run_kills, asked.kills),
        (run_orders, asked.orders),
        (run_hot_keys, asked.actions),
        (run_hub_kills, asked.hub_kills),
    ):
        if number:
            timed(run, number, asked.first)
    return 0


def one(seed: int, verbose: bool) -> int:
    weaver = Scheduler(trace=[] if verbose else None)
    bad = first_failure(range(seed, seed + 1), weaver)
    print(*(weaver.trace or ()), sep="\n")
    if bad is None:
        print(f"seed {seed}: every promise kept")
        return 0
    if verbose and isinstance(bad, FailedHistory):
        traceback.print_exception(bad.error)
    print(bad, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
