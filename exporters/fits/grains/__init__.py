"""Report and work folder of ``cathodegrain fit grains``."""
