"""Files of a laboratory's own volumes: one module for each family of formats."""
