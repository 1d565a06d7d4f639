"""Figures of billing that are decided once and named everywhere else."""

from datetime import timedelta

RETENTION = timedelta(days=30)
"""How long the account of a person who left is kept."""
PURGE_EVERY_SECONDS = 3600.0
PURGE_BATCH = 1000
ANNOUNCE_EVERY_SECONDS = 300.0
ANNOUNCE_BATCH = 500
