"""Parse arguments, call one verb, print, choose the exit code."""

import io
import os
import sys
from importlib.metadata import version
from itertools import pairwise
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cowpath.core.errors import CowpathError
from cowpath.doors.cli import boot, disk, documents, exits, image, settings
from cowpath.doors.cli.output import ProgressStyle, Screen
from cowpath.doors.cli.session import Session, session

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=documents.exits(),
    pretty_exceptions_enable=False,
)
_PROGRESS = "--progress"
_PROGRESS_VARIABLE = "COWPATH_PROGRESS"

app.add_typer(image.app, name="image")
app.add_typer(disk.app, name="disk")
app.command()(boot.boot)
app.command()(settings.config)


def _print_version(value: bool) -> None:  # noqa: FBT001  # Typer's callback
    if value:
        typer.echo(f"cowpath {version('cowpath')}")
        raise typer.Exit


def _to_progress(context: typer.Context, value: ProgressStyle) -> ProgressStyle:
    # At once: what Typer refuses later is told in that style.
    session(context).screen.progress = value
    return value


@app.callback()
def options(
    context: typer.Context,
    *,
    config_file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="An oslo.config file; a compute host's nova.conf serves. May be given "
            "several times. Default: /etc/cowpath/cowpath.conf.",
            envvar="COWPATH_CONFIG_FILE",
        ),
    ] = None,
    os_cloud: Annotated[
        str,
        typer.Option(
            metavar="CLOUD",
            help="A cloud of clouds.yaml. Default: OS_CLOUD, the OS_* variables, or "
            "\\[cowpath] in the configuration.",
        ),
    ] = "",
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show what is asked of whom.")
    ] = False,
    progress: Annotated[
        ProgressStyle,
        typer.Option(
            help="What stderr shows: auto is a bar on a terminal and lines elsewhere, "
            "json an object per line, none only warnings and errors.",
            envvar=_PROGRESS_VARIABLE,
            callback=_to_progress,
            is_eager=True,
        ),
    ] = ProgressStyle.AUTO,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Boot any Glance image at any site as a copy-on-write clone.

    Finds an image in this site's own store; where it is not, has Glance copy it
    there, follows the copy, and makes disks as copy-on-write clones of it.
    """
    del progress, show_version
    run = session(context)
    run.files, run.cloud = tuple(config_file or ()), os_cloud
    run.screen.verbose = verbose
    run.screen.open_log()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding has no letters for is no bug.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments, Screen())
        # What is still in the buffer would fail at exit, where nobody catches it.
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to say (Python's manual,
        # "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BUG
    return code


def _run(arguments: list[str] | None, screen: Screen) -> int:
    run = Session(screen)
    try:
        result = app(arguments, standalone_mode=False, obj=run)
    except CowpathError as error:
        return screen.fail(error)
    except TyperException as error:
        _take_style(screen, sys.argv[1:] if arguments is None else arguments)
        return screen.refuse(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return screen.interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last door: a bug is reported
        return screen.break_down(error)
    finally:
        run.close()
    return _end(screen, result)


def _take_style(screen: Screen, words: list[str]) -> None:
    """Take the style of output from a line that Typer could not parse."""
    # Typer acts on no option of such a line. After -- there are only arguments.
    words = words[: words.index("--")] if "--" in words else words
    screen.as_json |= "--json" in words
    named = [*_styles(words), os.environ.get(_PROGRESS_VARIABLE)]
    if named[0] == ProgressStyle.JSON:
        screen.progress = ProgressStyle.JSON


def _styles(words: list[str]) -> list[str]:
    """Return the values of --progress, the one that counts first."""
    found = []
    for before, word in pairwise(["", *words]):
        if before == _PROGRESS:
            found.append(word)
        elif word.startswith(f"{_PROGRESS}="):
            found.append(word.partition("=")[2])
    return found[::-1]


def _end(screen: Screen, result: object) -> int:
    # Typer 0.29 makes this result of Ctrl-C; its other releases may let it through.
    if result == exits.INTERRUPTED:
        return screen.interrupted()
    return result if isinstance(result, int) else exits.OK
