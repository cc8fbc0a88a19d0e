"""Radial laws of grains fitted to sections by simulated moments."""
