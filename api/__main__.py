"""``python -m cathodegrain``: the command line."""

import sys

from .exporters.commands.main import main

sys.exit(main())
