"""`cowpath image`: which image is in which store, and bringing it here."""

from typing import Annotated

import typer

from cowpath.core.errors import CowpathError
from cowpath.core.model import Base, CopyAnswer, StoreName
from cowpath.doors.cli import documents
from cowpath.doors.cli.exits import exit_code
from cowpath.doors.cli.output import Screen
from cowpath.doors.cli.session import AsJson, ImageRef, session
from cowpath.observers import nouns
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
            help="A Glance store; may be given several times, for one request to "
            "Glance. Default: this site's.",
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
    is followed; no second one is asked for. Of several stores each has its own result:
    one that fails does not keep the others from succeeding.
    """
    del as_json
    screen, site = session(context).screen, session(context).site()
    # Once each, in the order given.
    names = [*dict.fromkeys(store or [site.store])]
    if wait:
        _place(screen, site, image, names)
    else:
        _ask(screen, site, image, names)


def _ask(screen: Screen, site: Site, image: str, names: list[str]) -> None:
    answers = site.request_copies(image, names)
    screen.show(
        {"image": image, "answers": answers},
        lambda: documents.plain(
            *(f"{name}: {_ANSWERS[said]}" for name, said in answers.items())
        ),
    )


def _place(screen: Screen, site: Site, image: str, names: list[str]) -> None:
    results = _results(site, image, names)
    placed = {name: found for name, found in results.items() if isinstance(found, Base)}
    failed = {
        name: error
        for name, error in results.items()
        if isinstance(error, CowpathError)
    }
    for name, error in failed.items():
        screen.complain(error, name)
    if placed or screen.as_json:
        screen.show(
            {
                "image": image,
                "placed": {name: nouns.base(found) for name, found in placed.items()},
                "failed": {
                    name: documents.error(error) for name, error in failed.items()
                },
            },
            lambda: documents.plain(*(f"{image} is in {name}" for name in placed)),
        )
    for first in failed.values():
        raise typer.Exit(exit_code(first))


def _results(
    site: Site, image: str, names: list[str]
) -> dict[StoreName, Base | CowpathError]:
    """Return what became of each store, in the order of `names`."""
    if len(names) == 1:
        return {StoreName(names[0]): site.place(image, names[0])}
    found = site.place_all(image, names)
    return {StoreName(name): found[StoreName(name)] for name in names}
