"""The lab's cloud as its administrator sees it: enough to set it up."""

import http.client
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from lab import keystone
from lab.errors import LabError
from lab.port_block import PortBlock
from lab.waiting import wait_until

_ANSWER_WITHIN_SECONDS = 60.0
_HOST_WITHIN_SECONDS = 120.0
_LOOK_EVERY_SECONDS = 0.5
_TOKEN = "X-Subject-Token"  # noqa: S105 - a header's name
_PLACEMENT = {"OpenStack-API-Version": "placement 1.39"}
_COMPUTE = {"OpenStack-API-Version": "compute 2.90"}


class Cloud:
    """Asks Nova and Placement, as the administrator."""

    def __init__(self, ports: PortBlock) -> None:
        self._ports = ports
        self._token = ""

    def has_host(self, site: str) -> bool:
        """Tell whether a site's host is up and known to Placement."""
        query = f"/v2.1/os-services?binary=nova-compute&host={site}"
        services = self._compute("GET", query)["services"]
        # Who said by hand that it is down knows what is the matter.
        up = any(each["state"] == "up" or each["forced_down"] for each in services)
        return up and bool(self._provider(site))

    def wait_for_host(self, site: str) -> None:
        """Wait until servers can be scheduled to a site.

        Raises:
            LabError: They cannot.
        """
        if not wait_until(
            lambda: self.has_host(site),
            within_seconds=_HOST_WITHIN_SECONDS,
            every_seconds=_LOOK_EVERY_SECONDS,
        ):
            message = f"Nova does not see host {site} up: read compute-{site}'s log."
            raise LabError(message)

    def ensure_zone(self, site: str) -> None:
        """Have an availability zone of a site's name with its host in it.

        Where Placement lost it, it is made again: the scheduler asks Placement.
        """
        self.wait_for_host(site)
        zone = self._zone(site)
        if site in zone["hosts"] and self._is_placed(site, zone["uuid"]):
            return
        action = f"/v2.1/os-aggregates/{zone['id']}/action"
        if site in zone["hosts"]:
            self._compute("POST", action, {"remove_host": {"host": site}})
        self._compute("POST", action, {"add_host": {"host": site}})

    def _zone(self, site: str) -> Mapping[str, Any]:
        aggregates = self._compute("GET", "/v2.1/os-aggregates")["aggregates"]
        for each in aggregates:
            if each["name"] == site:
                return dict(each)
        wish = {"name": site, "availability_zone": site}
        made = self._compute("POST", "/v2.1/os-aggregates", {"aggregate": wish})
        return {"hosts": [], **made["aggregate"]}

    def _provider(self, site: str) -> str:
        """Return the id of a host's resource provider, or nothing."""
        found: Sequence[Mapping[str, str]] = self._placement(
            f"/resource_providers?name={site}"
        )["resource_providers"]
        return found[0]["uuid"] if found else ""

    def _is_placed(self, site: str, aggregate: str) -> bool:
        path = f"/resource_providers/{self._provider(site)}/aggregates"
        return aggregate in self._placement(path)["aggregates"]

    def _placement(self, path: str) -> Any:
        return self._ask(self._ports.url("placement", path), "GET", _PLACEMENT)

    def _compute(self, method: str, path: str, body: object = None) -> Any:
        return self._ask(self._ports.url("nova-api", path), method, _COMPUTE, body)

    def _ask(
        self, url: str, method: str, headers: Mapping[str, str], body: object = None
    ) -> Any:
        self._token = self._token or self._log_in()
        headers = {"X-Auth-Token": self._token, **headers}
        return request(url, method, headers, body)[1]

    def _log_in(self) -> str:
        who = {
            "name": keystone.ADMIN,
            "domain": {"id": keystone.DOMAIN},
            "password": keystone.PASSWORD,
        }
        project = {"name": keystone.ADMIN, "domain": {"id": keystone.DOMAIN}}
        identity = {"methods": ["password"], "password": {"user": who}}
        wish = {"auth": {"identity": identity, "scope": {"project": project}}}
        url = self._ports.url("keystone", "/v3/auth/tokens")
        return request(url, "POST", {}, wish)[0][_TOKEN]


def request(
    url: str, method: str, headers: Mapping[str, str], body: object = None
) -> tuple[Mapping[str, str], Any]:
    """Ask a service of the lab.

    Returns:
        The headers and the JSON of its answer.

    Raises:
        LabError: It refused, or did not answer.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(
        place.hostname or "", place.port, _ANSWER_WITHIN_SECONDS
    )
    payload = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json", **headers}
    path = f"{place.path}?{place.query}"
    try:
        connection.request(method, path, payload, dict(headers))
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        message = f"{method} {url} was not answered: {error}"
        raise LabError(message) from error
    finally:
        connection.close()
    if response.status >= HTTPStatus.BAD_REQUEST:
        message = f"{method} {url} was answered with {response.status}: {text}"
        raise LabError(message)
    return dict(response.getheaders()), json.loads(text or "null")
