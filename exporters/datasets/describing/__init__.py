"""Describing datasets: ``dataset describe``."""
