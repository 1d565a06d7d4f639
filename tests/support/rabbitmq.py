"""A RabbitMQ node of a test's own."""


class RabbitServer:
    """A RabbitMQ node with its own name, ports, cookie, folder and epmd."""

    url: str

    def __enter__(self) -> "RabbitServer":
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError
