"""Delivering datasets: ``dataset pack`` and ``dataset fetch``."""
