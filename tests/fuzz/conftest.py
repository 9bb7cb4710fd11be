"""Set how many inputs are tried: a few in every test run, 10,000 with `--hypothesis-profile fuzz`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("fuzz", max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
