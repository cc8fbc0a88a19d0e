"""Labels on grids, and what is measured on them."""
