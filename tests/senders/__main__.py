"""`python -m tests.senders` plays the sequences of every kind of sender; `--every N` only each N-th of them."""

import argparse
import itertools
import sys
import time

from tests.senders.sequences import KINDS, all_sequences, first_wrong

PRIME = 97


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.senders", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given again")
    parser.add_argument("--every", type=int, default=PRIME, help="of the sequences, each so many-th (1: all)")
    parser.add_argument("--least", type=int, default=2_000, help="fewer than so many of a kind are too few")
    asked = parser.parse_args()
    for kind in asked.kind or KINDS:
        started = time.monotonic()
        count, wrong = first_wrong(kind, itertools.islice(all_sequences(kind), 0, None, asked.every))
        print(f"{kind}: {count:,} sequences in {time.monotonic() - started:,.0f} s", flush=True)
        if wrong is not None:
            print(f"{kind}: {wrong}", file=sys.stderr)
            return 1
        if count < asked.least:
            print(f"{kind}: fewer than {asked.least:,}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
