"""`cowpath image`: which image is in which store, and bringing it here."""

from typing import Annotated

import typer

from cowpath.core.model import CopyAnswer
from cowpath.doors.cli import documents
from cowpath.doors.cli.session import AsJson, ImageRef, session

app = typer.Typer(no_args_is_help=True, help="Images, and which store has them.")

_ANSWERS = {
    CopyAnswer.ACCEPTED: "Glance accepted the copy and makes it in the background",
    CopyAnswer.BUSY: "Glance is busy with another import of it: ask again later",
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
        placed = {name: documents.base(site.place(image, name)) for name in names}
        session(context).screen.show(
            {"image": image, "placed": placed},
            lambda: "\n".join(f"{image} is in {name}" for name in placed),
        )
        return
    answers = {name: site.request_copy(image, name) for name in names}
    session(context).screen.show(
        {"image": image, "answers": answers},
        lambda: "\n".join(
            f"{name}: {_ANSWERS[said]}" for name, said in answers.items()
        ),
    )
