"""Defaults of phantoms: the same in Python and on the command line, which reads them early."""

N_SECTIONS = 6
N_OFF_CENTRE = 0  # of the sections, the last ones
SEED = 0
FOLDER = "phantom"
