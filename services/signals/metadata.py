"""What all tables of signals hang on."""

from sqlalchemy import DateTime, MetaData

from shared.db.base import NAMING, Model

Time = DateTime(timezone=True)


class Base(Model):
    """Base of the tables of signals."""

    metadata = MetaData(naming_convention=NAMING)
