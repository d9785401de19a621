"""Nova's own tests that our classes do not pass, and why they need not.

A test keeps this list honest: each fails against our class in every release that has
it, and nothing else fails.
"""

LEFT_OUT: dict[str, dict[str, str]] = {
    "backend": {},
    "ceph": {
        "test_connect_to_rados_error": (
            "asserts that the connection is shut down when a pool cannot be opened; "
            "connections are kept, and this one works for other pools"
        ),
    },
}
"""Of each suite of against_us.py."""
