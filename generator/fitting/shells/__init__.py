"""From CT volumes to the shells of a model card."""
