"""A particle's own two files: recipe and metadata."""
