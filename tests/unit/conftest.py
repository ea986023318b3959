"""Settings of the property tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no reason for a property to fail.
settings.register_profile("ezcaptcha", deadline=None)
settings.load_profile("ezcaptcha")
