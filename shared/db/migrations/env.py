"""Alembic's environment of all services; ``shared.db.migrate`` hands connection and metadata in."""

from functools import cache

from alembic import context
from sqlalchemy import text

options = context.config.attributes


@cache
def _partitions() -> frozenset[str]:
    """The tables that are parts of partitioned ones: made as rows come, so no model names them."""
    names = "SELECT relname FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')"
    return frozenset(options["connection"].execute(text(names)).scalars())


def _is_named_by_a_model(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name not in _partitions()


context.configure(
    connection=options["connection"],
    target_metadata=options["metadata"],
    include_name=_is_named_by_a_model,
    compare_type=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
