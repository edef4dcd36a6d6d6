"""`python -m retour.cli`, where the command itself is not on PATH."""

import sys

from retour.cli import main

sys.exit(main())
