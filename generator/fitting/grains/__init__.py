"""From sections to the grains of a model card: the stereological fit."""
