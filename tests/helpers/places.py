"""Where things lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
HELPERS = Path(__file__).parent
SHARED = ROOT.parent / "shared"  # measured data, beside some checkouts
