"""The lab's Glance as a plain HTTP client sees it: uploads, waits, counts."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.manifest import CLOUDS
from lab.waiting import wait_until

_ACTIVE_WITHIN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class ImageService:
    """The lab's Glance, asked by its administrator.

    Attributes:
        url: Its root.
        access_log: Where it writes a line per request.
    """

    url: str
    access_log: Path

    def upload(self, name: str, image: Path, *, disk_format: str, store: str) -> str:
        """Import an image by glance-direct, which converts it to raw.

        Args:
            name: What it is called.
            image: The file.
            disk_format: What the file is.
            store: The only store that gets it.

        Returns:
            The image's id, once it is active.

        Raises:
            LabError: It did not become active.
        """
        fields = {"name": name, "disk_format": disk_format, "container_format": "bare"}
        made = str(self._ask("POST", "/v2/images", fields)["id"])
        self._send(made, image)
        how = {"method": {"name": "glance-direct"}, "stores": [store]}
        self._ask("POST", f"/v2/images/{made}/import", how)
        if not wait_until(
            lambda: self.show(made)["status"] == "active",
            within_seconds=_ACTIVE_WITHIN_SECONDS,
        ):
            raise LabError(f"Image {made} did not become active: read Glance's log.")
        return made

    def show(self, image: str) -> Mapping[str, object]:
        """Return what Glance says of an image."""
        return self._ask("GET", f"/v2/images/{image}")

    def requests(self) -> int:
        """Return how many requests Glance has answered."""
        return len(self.access_log.read_text().splitlines())

    def _send(self, image: str, file: Path) -> None:
        with file.open("rb") as body:
            request = urllib.request.Request(  # noqa: S310  # the lab's own URL
                f"{self.url}/v2/images/{image}/stage",
                data=body,
                method="PUT",
                headers={
                    **self._headers(),
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(file.stat().st_size),
                },
            )
            urllib.request.urlopen(request).close()  # noqa: S310

    def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Mapping[str, object]:
        request = urllib.request.Request(  # noqa: S310  # the lab's own URL
            self.url + path,
            data=json.dumps(body).encode() if body else None,
            method=method,
            headers={**self._headers(), "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as reply:  # noqa: S310
            said = reply.read()
        return json.loads(said) if said else {}

    def _headers(self) -> dict[str, str]:
        return {"X-Auth-Token": CLOUDS["lab-admin"]}
