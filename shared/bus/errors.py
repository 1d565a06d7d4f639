"""What a handler raises to say what should become of its message."""


class Retry(Exception):
    """Not now: the message comes back later, and is a dead letter after the fifth try."""


class Drop(Exception):
    """Never: the message becomes a dead letter at once, with this exception's text as the reason."""
