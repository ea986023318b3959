"""Ports on loopback that stay free."""

from __future__ import annotations

import socket
from contextlib import suppress
from random import randrange


def free_port() -> int:
    """Return a port on which nobody listens, and that no system gives out by itself.

    Of those that it does, any connection of another test may be given one while a server is away;
    and whoever tries to connect to it is given it in the end, and is connected to himself.
    """
    while True:
        port = 20_000 + randrange(12_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
