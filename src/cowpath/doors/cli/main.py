"""Parse arguments, call one verb, print, choose the exit code."""

import io
import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cowpath.core.errors import CowpathError
from cowpath.doors.cli import boot, disk, documents, exits, image, settings
from cowpath.doors.cli.output import Screen
from cowpath.doors.cli.session import Session, session

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=documents.exits(),
    pretty_exceptions_enable=False,
)
app.add_typer(image.app, name="image")
app.add_typer(disk.app, name="disk")
app.command()(boot.boot)
app.command()(settings.config)


def _print_version(value: bool) -> None:  # noqa: FBT001  # Typer's callback
    if value:
        typer.echo(f"cowpath {version('cowpath')}")
        raise typer.Exit


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
    del show_version
    run = session(context)
    run.files, run.cloud = tuple(config_file or ()), os_cloud
    run.screen.verbose = verbose
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        # Who logs what is asked; it shows tokens as hashes only.
        logging.getLogger("keystoneauth").setLevel(logging.DEBUG)


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
    try:
        result = app(arguments, standalone_mode=False, obj=Session(screen))
    except CowpathError as error:
        return screen.fail(error)
    except TyperException as error:
        # Typer acts on no option of a line that it cannot parse.
        screen.as_json |= "--json" in (sys.argv if arguments is None else arguments)
        return screen.refuse(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return screen.interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last door: a bug is reported
        return screen.break_down(error)
    return _end(screen, result)


def _end(screen: Screen, result: object) -> int:
    # Typer 0.29 makes this result of Ctrl-C; its other releases may let it through.
    if result == exits.INTERRUPTED:
        return screen.interrupted()
    return result if isinstance(result, int) else exits.OK
