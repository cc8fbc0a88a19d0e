"""Checking datasets: ``dataset verify``."""
