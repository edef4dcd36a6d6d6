"""`python -m retour.cli`, if the command is not on PATH."""

import sys

from retour.cli import main

sys.exit(main())
