"""The model: from a model card to a particle, and what can be asked of a particle.

Lengths are pixels of the grain frame while a particle is drawn and micrometres from then
on. Data flows one way::

    ModelCard --ShellModel.sample--> Shell ------------------------------.
        |--sample_poisson--> MarkedPoints --MarkerLaw--> Tessellation --> Particle
"""

from pathlib import Path

from .kernel_cache import find_place

find_place(Path(__file__).parent)  # before any module imports numba
