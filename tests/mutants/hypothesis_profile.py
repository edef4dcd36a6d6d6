"""The conftest of the pure tests while mutants are judged: the same examples each time, and few of them."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=15,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutants")
