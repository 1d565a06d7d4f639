"""The web layer all services stand on: app factory, errors, identity, CSRF, limits, health, design system.

This package imports nothing at its top, so that ``shared.web.gunicorn`` can be read before the metrics
library is (which decides at its import whether it counts for several processes).
"""
