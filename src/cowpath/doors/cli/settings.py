"""`cowpath config`: effective values and where each came from."""

from dataclasses import asdict

import typer

from cowpath.doors.cli import documents
from cowpath.doors.cli.session import AsJson, session


def config(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Print every effective setting and where it came from; secrets are masked."""
    del as_json
    found = session(context).config()
    session(context).screen.show(
        {
            "files": list(found.files),
            "settings": [asdict(setting) for setting in found.settings],
        },
        lambda: documents.setting_lines(found.settings),
    )
