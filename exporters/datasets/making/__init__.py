"""Building datasets: ``dataset build`` and ``dataset index``."""
