"""What every verb shares: the options before it, its screen, the site."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, cast

import typer

from cowpath.config import Config, load
from cowpath.core.errors import CowpathError
from cowpath.doors.cli.output import Screen
from cowpath.site import Site
from cowpath.wiring import build


@dataclass(slots=True)
class Session:
    """One run of the command line."""

    screen: Screen = field(default_factory=Screen)
    files: tuple[str, ...] = ()
    cloud: str = ""
    sites: list[Site] = field(default_factory=list)

    def config(self) -> Config:
        """Return the configuration that the options name.

        Raises:
            ConfigError: It is wrong or incomplete.
        """
        return load(self.files, cloud=self.cloud)

    def site(self) -> Site:
        """Return this host's site.

        Raises:
            ConfigError: The configuration is wrong or incomplete.
        """
        self.sites.append(build(self.config(), self.screen.observer()))
        return self.sites[-1]

    def close(self) -> None:
        """Let go of connections: Ceph's library has threads that outlive ours."""
        for site in self.sites:
            with suppress(CowpathError):
                site.close()


def session(context: typer.Context) -> Session:
    """Return the session that `main` put into the context."""
    return cast("Session", context.find_root().obj)


def _to_json(context: typer.Context, value: bool) -> bool:  # noqa: FBT001  # Typer's
    if value:
        session(context).screen.as_json = True
    return value


AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document on stdout; everything else goes to stderr.",
        callback=_to_json,
        is_eager=True,
    ),
]
ImageRef = Annotated[
    str, typer.Argument(metavar="IMAGE", help="A Glance image: its id or unique name.")
]
DiskRef = Annotated[str, typer.Argument(metavar="NAME", help="A disk of this site.")]
