"""The `retour` command: a client of the API, and the starter of the local hub.

arguments   what can be said, and the help
client      where the hub is, and one HTTP call
screen      tables, progress, sentences
programs, trials, deliveries, ledger, decisions, keys, doctor, up, demo   the commands
"""

import sys
from collections.abc import Sequence

from retour.cli.client import NoHub, Refused, Usage


def main(argv: Sequence[str] | None = None) -> int:
    """0 done, 1 refused or rows failed, 2 wrong usage."""
    from retour.cli.arguments import parser
    from retour.cli.screen import complain

    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except Refused as refused:
        complain(refused.sentence(), code=refused.code)
        return 1
    except NoHub as nobody:
        complain(str(nobody))
        return 1
    except Usage as wrong:
        complain(str(wrong))
        return 2
    except BrokenPipeError:
        # `retour actions | head`: whoever read has enough. Python would complain again when it flushes at the end.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return 130
