"""The `retour` command: a client of the API, and the launcher of the local hub.

arguments   the command line and its help
client      where the hub is, and one HTTP call
screen      tables, progress, sentences
programs, trials, deliveries, ledger, decisions, keys, doctor, up, demo   the commands
"""

import sys
from collections.abc import Sequence

from retour.cli.client import ApiError, HubUnreachableError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0 for done, 1 for refused or failed rows, 2 for wrong usage."""
    from retour.cli.arguments import build_parser
    from retour.cli.screen import print_error

    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ApiError as refused:
        print_error(refused.message(), code=refused.code)
        return 1
    except HubUnreachableError as nobody:
        print_error(str(nobody))
        return 1
    except UsageError as wrong:
        print_error(str(wrong))
        return 2
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has closed it. Python would complain again when flushing at exit.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return 130
