"""The command line; nothing here is imported by anything else."""
