"""How properties are tried: `@properties` above a test that takes drawn examples."""

from hypothesis import HealthCheck, settings

# The same examples every time, however slow the machine is.
properties = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
