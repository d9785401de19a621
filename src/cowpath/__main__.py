"""The command `cowpath`, and `python -m cowpath`."""

import sys

from cowpath.core.errors import ConfigError
from cowpath.doors.cli.exits import EXIT_CODES

_EXTRA = ("openstack", "rich", "typer")


def run() -> int:
    """Run the command line, or say what it needs; return its exit code."""
    try:
        from cowpath.doors.cli.main import main  # noqa: PLC0415  # the extra `cli`
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write(
            f"Error: the command line needs {error.name}, which is not installed: pip "
            f"install 'cowpath[cli]'\n"
        )
        return EXIT_CODES[ConfigError]
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
