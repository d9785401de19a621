"""How hypothesis runs: the same examples every time, or many new ones for a soak."""

from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail, hence no deadline; runs must be repeatable.
settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# pytest --hypothesis-profile=soak
settings.register_profile(
    "soak",
    max_examples=10_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")
