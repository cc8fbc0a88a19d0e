"""Report of ``cathodegrain fit shell``."""
