"""One request is one transaction: the way of the request to its service's database."""

from contextlib import AbstractContextManager
from typing import cast

from flask import Flask, current_app
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from shared.db.engine import Database


def init_app(app: Flask, database: Database) -> None:
    """Keep the database with the app."""
    app.extensions["boritrader_database"] = database


def transaction() -> AbstractContextManager[Session]:
    """One transaction as a context manager: commits at its end, rolls back on an exception."""
    return _database().transaction()


def read() -> AbstractContextManager[Connection]:
    """A connection in autocommit as a context manager, for hot reads by Core."""
    return _database().read()


def _database() -> Database:
    return cast("Database", current_app.extensions["boritrader_database"])
