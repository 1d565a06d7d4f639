"""The ledger: records in chains, their checkpoints and heads, and the proofs that nobody polished them."""
