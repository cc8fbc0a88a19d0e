"""What all commands share: options, what they print, and being interrupted."""
