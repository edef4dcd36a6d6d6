"""`python -m tests.senders` plays sequences of every kind of sender, evenly out of all; `--most 0` plays them all."""

import argparse
import itertools
import math
import sys
import time

from tests.senders.sequences import KINDS, MESSAGES_MAX, all_sequences, first_wrong, table

LEAST = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.senders", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given again")
    parser.add_argument("--most", type=int, default=LEAST, help="about so many sequences of a kind; 0: all of them")
    asked = parser.parse_args()
    for kind in asked.kind or KINDS:
        there_are, started = how_many(kind), time.monotonic()
        every = max(there_are // asked.most, 1) if asked.most else 1
        count, wrong = first_wrong(kind, itertools.islice(all_sequences(kind), 0, None, every))
        seconds = time.monotonic() - started
        print(f"{kind}: {count:,} of {there_are:,} sequences in {seconds:,.0f} s", flush=True)
        if wrong is not None:
            print(f"{kind}: {wrong}", file=sys.stderr)
            return 1
    return 0


def how_many(kind: str) -> int:
    """Choices of objects and states, in every order of arrival."""
    said = table(kind)
    choices = [sum(len(said["objects"][type_]["states"]) for type_ in pair) for pair in said["pairs"]]
    return sum(n**length * math.factorial(length) for n in choices for length in range(1, MESSAGES_MAX + 1))


if __name__ == "__main__":
    sys.exit(main())
