"""The ways to a person: each channel's outside world behind one module."""
