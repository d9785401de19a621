"""Error class -> exit code: the one table; `--help` and the docs print it."""

from cowpath.core import errors

OK = 0
BUG = 1
INTERRUPTED = 130

EXIT_CODES: dict[type[errors.CowpathError], int] = {
    errors.UsageError: 2,
    errors.NotFoundError: 3,
    errors.UnsuitableError: 4,
    errors.ConflictError: 5,
    errors.ForbiddenError: 6,
    errors.CopyFailedError: 7,
    errors.CopyTimeoutError: 8,
    errors.UnavailableError: 9,
    errors.ConfigError: 10,
    errors.UntrustedError: 11,
    errors.NoSpaceError: 12,
    errors.AmbiguousError: 13,
    errors.CredentialsError: 14,
    errors.QuotaError: 15,
    errors.HypervisorError: 16,
    errors.CopyError: 17,
    errors.CopyBusyError: 18,
    errors.CopyStalledError: 19,
    errors.LeftoverError: 20,
    errors.CopyAbandonedError: 21,
}


def exit_code(error: errors.CowpathError) -> int:
    """Return the code of the nearest class of `error` in the table."""
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return BUG


def table() -> list[tuple[int, str, str]]:
    """Return (code, class or word, meaning), in order of code."""
    rows = [
        (code, kind.__name__, (kind.__doc__ or "").splitlines()[0])
        for kind, code in EXIT_CODES.items()
    ]
    rows += [
        (OK, "success", "Done."),
        (BUG, "bug", "Something nobody foresaw; please report it with -v."),
        (INTERRUPTED, "interrupted", "Ctrl-C. Copies that Glance makes go on."),
    ]
    return sorted(rows)
