"""All queries of signals: `cycles` for what the runner writes, `history` for what it goes on from,
`feeds` for positions, `board` for what people read.
"""
