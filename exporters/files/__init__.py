"""How any file is written: whole or not at all, CF and VTKHDF, JSON by schema, provenance."""
