"""What the models of all services have in common."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, Identity, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column, registry

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of indexes and constraints, so that migrations can speak of them."""

COLUMN_TYPES: dict[Any, Any] = {
    datetime: DateTime(timezone=True),
    uuid.UUID: Uuid(),
    dict[str, Any]: JSONB(),
    list[Any]: JSONB(),
}
"""Column types of annotations: times are always aware, documents always jsonb."""

UtcNow = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
"""An aware moment that the database sets to now, when the row names none: ``created_at: Mapped[UtcNow]``."""

UuidKey = Annotated[uuid.UUID, mapped_column(Uuid(), primary_key=True, default=uuid.uuid4)]
"""A random primary key: ``id: Mapped[UuidKey]``."""

BigIntKey = Annotated[int, mapped_column(BigInteger(), Identity(always=True), primary_key=True)]
"""A counted primary key: ``id: Mapped[BigIntKey]``."""


class Model(DeclarativeBase):
    """Parent of each service's ``Base``.

    A service writes ``class Base(Model): metadata = MetaData(naming_convention=NAMING)``. Every such base
    has its own registry of class names, so two services mounted in one process may both have an ``Alert``.
    """

    __abstract__ = True

    def __init_subclass__(cls, **options: Any) -> None:
        if Model in cls.__bases__:
            cls.registry = registry(metadata=cls.metadata, type_annotation_map=COLUMN_TYPES)
            cls._sa_registry = cls.registry
            cls.__abstract__ = True
        super().__init_subclass__(**options)
