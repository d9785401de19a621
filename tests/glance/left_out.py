"""Glance's own tests that do not pass with our door, and why they need not.

A test keeps this list honest: each fails with our door in every release that has it,
and nothing else fails.
"""

_STALLED = (
    "stalls the copy by a stand-in for ImageProxy.set_data, through which the bytes of "
    "a copy do not go any more; that Glance keeps the lock of a copy that lives, and "
    "hands that of a dead one over, is shown in tests/glance/inside/test_locks.py"
)

LEFT_OUT: dict[str, str] = {
    "TestImageImportLocking.test_import_copy_locked": _STALLED,
    "TestImageImportLocking.test_import_copy_bust_lock": _STALLED,
}
"""By class and name."""
