"""`cowpath boot`: an image becomes a running guest."""

from typing import Annotated
from uuid import uuid4

import typer

from cowpath.doors.cli import documents
from cowpath.doors.cli.session import AsJson, ImageRef, session
from cowpath.observers import nouns


def boot(  # noqa: PLR0913  # one parameter for each option
    context: typer.Context,
    image: ImageRef,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of the guest and its disk. Default: made up."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Of the disk. Default: the image's size."),
    ] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Of the guest.")] = "512M",
    console: Annotated[
        bool,
        typer.Option(
            "--console",
            help="Show the guest's serial console until it powers off; Ctrl-C stops "
            "watching, the guest goes on.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Boot an image at this site: place it here, make its disk, start a guest.

    The guest is a persistent libvirt domain of the disk's name; virsh manages it from
    then on.
    """
    del as_json
    screen = session(context).screen
    site = session(context).site()
    called = name or f"cow-{uuid4().hex[:8]}"
    made = site.boot(
        image,
        called,
        size=size,
        memory=memory,
        console=screen.console(called) if console else None,
    )
    screen.show(
        {
            "guest": made.name,
            "disk": nouns.disk(made),
            "seconds": screen.timeline.seconds,
        },
        lambda: documents.plain(
            f"guest {made.name}: {documents.steps(screen.timeline.seconds)}"
        ),
    )
