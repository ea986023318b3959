"""What the name of a field tells of its value."""

from __future__ import annotations

import re
from typing import Final

SECRET_NAME: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|cookie|credential|login|user_?name|session|authoriz"
    r"|(api|access|client|private)[-_ ]?key|^(pass|auth)$",
    re.IGNORECASE,
)
"""Names of fields whose values are secret. A site key's is not: it stands in the page."""
