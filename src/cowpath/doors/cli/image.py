"""`cowpath image`: which image is in which store, and bringing it here."""

from typing import Annotated

import typer

from cowpath.core.errors import CowpathError
from cowpath.core.model import CopyAnswer
from cowpath.doors.cli import documents
from cowpath.doors.cli.exits import exit_code
from cowpath.doors.cli.output import Document, Screen
from cowpath.doors.cli.session import AsJson, ImageRef, session
from cowpath.site import Site

app = typer.Typer(no_args_is_help=True, help="Images, and which store has them.")

_ANSWERS = {
    CopyAnswer.ACCEPTED: "Glance accepted the copy and makes it in the background",
    CopyAnswer.PRESENT: "it is there already",
}


@app.command("list")
def list_images(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List every image that you may see: its stores, and what this site has of it."""
    del as_json
    site = session(context).site()
    sights = list(site.images())
    session(context).screen.show(
        {
            "store": site.store,
            "images": [documents.image(sight) for sight in sights],
        },
        lambda: documents.image_table(sights, site.store),
    )


@app.command()
def show(context: typer.Context, image: ImageRef, *, as_json: AsJson = False) -> None:
    """Show one image: its stores, copies under way, locations, its base here."""
    del as_json
    site = session(context).site()
    sight = site.image(image)
    session(context).screen.show(
        documents.image(sight), lambda: documents.image_facts(sight, site.store)
    )


@app.command()
def place(
    context: typer.Context,
    image: ImageRef,
    *,
    store: Annotated[
        list[str] | None,
        typer.Option(
            "--store",
            metavar="STORE",
            help="A Glance store; may be given several times. Default: this site's.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Follow the copy until it is there."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Bring an image into a store: ask Glance to copy it there and follow the copy.

    An image that is there already is left alone. A copy that somebody else has begun
    is followed; no second one is asked for.
    """
    del as_json
    site = session(context).site()
    names = store or [site.store]
    if wait:
        _place(session(context).screen, site, image, names)
        return
    answers = {name: site.request_copy(image, name) for name in names}
    session(context).screen.show(
        {"image": image, "answers": answers},
        lambda: "\n".join(
            f"{name}: {_ANSWERS[said]}" for name, said in answers.items()
        ),
    )


def _place(screen: Screen, site: Site, image: str, names: list[str]) -> None:
    placed: dict[str, Document] = {}
    failed: dict[str, CowpathError] = {}
    for name in names:
        try:
            placed[name] = documents.base(site.place(image, name))
        except CowpathError as error:
            if len(names) == 1:
                raise
            failed[name] = error
            screen.complain(error, name)
    screen.show(
        {
            "image": image,
            "placed": placed,
            "failed": {name: documents.error(each) for name, each in failed.items()},
        },
        lambda: "\n".join(f"{image} is in {name}" for name in placed),
    )
    for first in failed.values():
        raise typer.Exit(exit_code(first))
