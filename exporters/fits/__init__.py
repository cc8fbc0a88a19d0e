"""Reports of fits: what those of shells and of grains share."""
