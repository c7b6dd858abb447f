"""What holds for all tests: a busy machine is no failure, so hypothesis has no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("popbridge", deadline=None)
settings.load_profile("popbridge")
