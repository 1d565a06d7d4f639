"""The algorithms that the web application of signals offers."""

from typing import cast

from flask import current_app

from services.signals.lineup import Lineup

LINEUP = "signals_lineup"


def lineup() -> Lineup:
    """The algorithms of the deployment that the app serves."""
    return cast("Lineup", current_app.extensions[LINEUP])
