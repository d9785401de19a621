"""How hypothesis runs: the same examples every time, or many new ones for a soak."""

import signal

from hypothesis import HealthCheck, Phase, settings

# A busy machine is no reason to fail, hence no deadline; runs must be repeatable.
settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# tests/mutations: that one example fails is enough, it need not be made small.
settings.register_profile(
    "mutant",
    settings.get_profile("house"),
    phases=(Phase.explicit, Phase.generate),
)
# pytest --hypothesis-profile=soak
settings.register_profile(
    "soak",
    max_examples=10_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")

# A shell that starts the tests in the background has Ctrl-C ignored, by us and by
# every command that we start; some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
