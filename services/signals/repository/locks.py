"""Advisory locks: which process works for which shard, and whether any process brings candles to the bus.

They belong to the connection that takes them, and end with it.
"""

from sqlalchemy import Connection, text

SHARD_SPACE = 0x5349474E
"""First half of the locks of the shards; the second is the shard."""
RELAY_SPACE = 0x5349474F
"""First half of the lock that relays share; the second is 0."""

CLOSE_SPACE = 0x53494750
"""First half of the lock that closes share while they are evaluated; the second is 0."""


def try_shard(connection: Connection, shard: int) -> bool:
    """Own a shard from now on; False while another connection does."""
    return _try(connection, "pg_try_advisory_lock", SHARD_SPACE, shard)


def try_relaying(connection: Connection) -> bool:
    """Be one of the relays from now on; False while somebody keeps all of them out."""
    return _try(connection, "pg_try_advisory_lock_shared", RELAY_SPACE, 0)


def keep_shard_out(connection: Connection, shard: int) -> bool:
    """Let nobody own a shard until this transaction ends; False when somebody does."""
    return _try(connection, "pg_try_advisory_xact_lock", SHARD_SPACE, shard)


def keep_relays_out(connection: Connection) -> bool:
    """Let nobody be a relay until this transaction ends; False when somebody is."""
    return _try(connection, "pg_try_advisory_xact_lock", RELAY_SPACE, 0)


def share_closes(connection: Connection) -> None:
    """Evaluate a close in this transaction, beside those of other shards."""
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:space, 0)"), {"space": CLOSE_SPACE})


def keep_closes_out(connection: Connection) -> bool:
    """Let no close be evaluated until this transaction ends; False when one is."""
    return _try(connection, "pg_try_advisory_xact_lock", CLOSE_SPACE, 0)


def allow_thinking(connection: Connection) -> None:
    """Let this transaction stand idle for a minute instead of ten seconds while its close is evaluated.

    On a slow machine ten thousand tickers take that long; ended for it, the close would be tried again and
    take as long again. Its shard has one owner, so the wait holds nobody up.
    """
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '60s'"))


def probe(connection: Connection) -> None:
    """Raise what is wrong with the connection, and so with its locks."""
    connection.execute(text("SELECT 1"))


def _try(connection: Connection, function: str, space: int, key: int) -> bool:
    taken: bool = connection.execute(
        text(f"SELECT {function}(:space, :key)"), {"space": space, "key": key}
    ).scalar_one()
    return taken
