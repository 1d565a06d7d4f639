"""A DNS server that knows one address for every name, until it is stopped."""

import socket
import struct
import threading
from typing import Self

from embedded.processes import LOOPBACK

QUESTION_AT = 12
TTL_SECONDS = 1


class NameServer:
    """Started with ``with``; ``address`` is what every name has, ``port`` is UDP on the loopback address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nobody any more."""
        if self._thread.is_alive():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (LOOPBACK, self.port))
            self._thread.join()
            self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            self.asked += 1
            question = query[QUESTION_AT:]
            # a response without error: the question, and one A record whose name points back to it
            header = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
            record = struct.pack(">HHHIH", 0xC00C, 1, 1, TTL_SECONDS, 4) + socket.inet_aton(self.address)
            self._socket.sendto(header + question + record, client)
