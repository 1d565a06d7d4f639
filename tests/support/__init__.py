"""Servers and stand-ins that tests start."""
