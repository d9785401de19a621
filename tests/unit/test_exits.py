"""Every error has an exit code, and every code one meaning."""

import inspect

import pytest

from cowpath.core import errors
from cowpath.doors.cli import exits

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.CowpathError) and kind is not errors.CowpathError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_class_has_the_code_of_the_nearest_class_in_the_table(
    kind: type[errors.CowpathError],
) -> None:
    nearest = next(one for one in kind.__mro__ if one in exits.EXIT_CODES)
    assert exits.exit_code(kind("words")) == exits.EXIT_CODES[nearest] != exits.BUG


def test_every_code_means_one_thing_and_is_a_code() -> None:
    codes = [code for code, _, _ in exits.table()]
    assert len(codes) == len(set(codes))
    assert codes == sorted(codes)
    assert all(0 <= code <= 255 for code in codes)


def test_a_code_never_changes() -> None:
    """Scripts depend on them; new ones are added at the end."""
    codes = {kind.__name__: code for kind, code in exits.EXIT_CODES.items()}
    promised = {
        "UsageError": 2,
        "NotFoundError": 3,
        "UnsuitableError": 4,
        "ConflictError": 5,
        "ForbiddenError": 6,
        "CopyFailedError": 7,
        "CopyTimeoutError": 8,
        "UnavailableError": 9,
        "ConfigError": 10,
        "UntrustedError": 11,
        "NoSpaceError": 12,
        "AmbiguousError": 13,
        "CredentialsError": 14,
        "QuotaError": 15,
        "HypervisorError": 16,
        "CopyError": 17,
        "CopyBusyError": 18,
        "CopyStalledError": 19,
        "LeftoverError": 20,
        "CopyAbandonedError": 21,
    }
    assert promised.items() <= codes.items()
    assert (exits.OK, exits.BUG, exits.INTERRUPTED) == (0, 1, 130)


def test_a_class_of_somebody_else_s_has_the_code_of_its_nearest() -> None:
    class TornCableError(errors.UnavailableError):
        """A plugin's own."""

    class OddError(errors.CowpathError):
        """Nothing nearer than the base."""

    assert exits.exit_code(TornCableError("x")) == 9
    assert exits.exit_code(OddError("x")) == exits.BUG


def test_the_table_says_what_each_code_means() -> None:
    rows = {word: meaning for _, word, meaning in exits.table()}
    assert rows["QuotaError"].startswith("A quota of the image service")
    assert all(meaning.endswith((".", "-v.")) for meaning in rows.values())


def test_only_what_may_pass_by_itself_is_worth_a_retry() -> None:
    retryable = {kind.__name__ for kind in CLASSES if kind.retryable}
    assert retryable == {
        "BusyError",
        "CopyBusyError",
        "CopyStalledError",
        "CopyTimeoutError",
        "UnavailableError",
    }
