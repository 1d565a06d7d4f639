"""Event contracts: what services tell each other, and nothing else."""
