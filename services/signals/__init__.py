"""The market: candles in, signals, views and their ledger out."""
