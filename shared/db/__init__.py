"""PostgreSQL: engine and transactions, the base of models, outbox and inbox, migrations."""
