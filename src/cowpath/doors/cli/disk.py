"""`cowpath disk`: copy-on-write disks of this site."""

from typing import Annotated

import typer

from cowpath.core.errors import UsageError
from cowpath.doors.cli import documents
from cowpath.doors.cli.session import AsJson, DiskRef, ImageRef, session
from cowpath.observers import nouns

app = typer.Typer(no_args_is_help=True, help="Copy-on-write disks of this site.")

AsXml = Annotated[
    bool, typer.Option("--xml", help="Print only libvirt's <disk> element.")
]


@app.command()
def create(
    context: typer.Context,
    image: ImageRef,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The new disk: 1 to 200 letters, digits, '.', '_' and '-'.",
        ),
    ],
    *,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Such as 20G or 512M. Default: the image's size."
        ),
    ] = None,
    xml: AsXml = False,
    as_json: AsJson = False,
) -> None:
    """Make a disk of an image, placing the image here first if need be.

    The disk is a clone: it shares the image's bytes and costs only what is written.
    A disk that an interrupted earlier call left unfinished is finished and used.
    """
    del as_json
    site = session(context).site()
    made = site.create_disk(image, name, size)
    described = site.disk_xml(made)
    session(context).screen.show(
        {**nouns.disk(made), "xml": described},
        lambda: documents.xml(described) if xml else documents.disk_facts(made),
    )


@app.command("list")
def list_disks(
    context: typer.Context,
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="Only names that begin so.")
    ] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List this site's disks, what each costs and what it is a clone of."""
    del as_json
    site = session(context).site()
    disks = list(site.disks(prefix))
    session(context).screen.show(
        {"store": site.store, "disks": [nouns.disk(each) for each in disks]},
        lambda: documents.disk_table(disks),
    )


@app.command()
def show(
    context: typer.Context,
    name: DiskRef,
    *,
    xml: AsXml = False,
    as_json: AsJson = False,
) -> None:
    """Show one disk, or print its libvirt XML."""
    del as_json
    site = session(context).site()
    found = site.disk(name)
    described = site.disk_xml(found)
    session(context).screen.show(
        {**nouns.disk(found), "xml": described},
        lambda: documents.xml(described) if xml else documents.disk_facts(found),
    )


@app.command()
def grow(
    context: typer.Context,
    name: DiskRef,
    size: Annotated[str, typer.Argument(metavar="SIZE", help="Such as 40G.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a disk larger. Disks never shrink; no guest may have it open."""
    del as_json
    grown = session(context).site().grow_disk(name, size)
    session(context).screen.show(nouns.disk(grown), lambda: documents.disk_facts(grown))


@app.command()
def delete(
    context: typer.Context,
    name: DiskRef,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a disk and what was written to it. Images and other disks stay."""
    del as_json
    screen = session(context).screen
    site = session(context).site()
    found = site.disk(name)
    asked = not yes and screen.asks
    if asked and not typer.confirm(documents.question(found), err=True):
        raise UsageError(f"disk {found.name} is left as it is: not confirmed")
    gone = site.delete_disk(name)
    screen.show(
        {"deleted": nouns.disk(gone)}, lambda: documents.plain(f"deleted {gone.name}")
    )
