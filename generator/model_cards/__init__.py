"""Model cards shipped with the package."""
