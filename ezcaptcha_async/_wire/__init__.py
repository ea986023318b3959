"""Bytes and HTTP: what is sent, what an answer means, and the HTTP clients that carry both."""

from ezcaptcha_async._wire.clients import prepare, transport_for
from ezcaptcha_async._wire.decoding import (
    MAX_BAN,
    Created,
    Decoder,
    Processing,
    Ready,
    Refused,
    Unreadable,
    retry_delay,
)
from ezcaptcha_async._wire.encoding import Encoder
from ezcaptcha_async._wire.solution import decode_solution

__all__ = [
    "MAX_BAN",
    "Created",
    "Decoder",
    "Encoder",
    "Processing",
    "Ready",
    "Refused",
    "Unreadable",
    "decode_solution",
    "prepare",
    "retry_delay",
    "transport_for",
]
