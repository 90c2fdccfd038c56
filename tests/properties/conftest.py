"""How long the random tests run: ``SAGA_ES_HYPOTHESIS=long pytest tests/properties`` takes its time."""

import os

from hypothesis import HealthCheck, settings

PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("normal", max_examples=600, **PATIENT)
settings.register_profile("quick", max_examples=30, **PATIENT)
settings.register_profile("long", max_examples=20_000, **PATIENT)
settings.load_profile(os.environ.get("SAGA_ES_HYPOTHESIS", "normal"))
