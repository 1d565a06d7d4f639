"""Tells people: what they asked to be told, by mail and live in the browser."""
