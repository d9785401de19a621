"""Hands for the lab's fault proxy: what it does wrong, and what came to it."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Fault = dict[str, object]


class Proxy:
    """Sets faults and reads counts.

    Attributes:
        url: The proxy's root, which stands for Glance's.
        auth_url: The proxy's Keystone.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.auth_url = f"{url}/v3"

    @contextmanager
    def faulty(self, *faults: Fault) -> Iterator[None]:
        """Have these faults, and no others, while the block runs."""
        self.set(*faults)
        try:
            yield
        finally:
            self.clear()

    def set(self, *faults: Fault) -> None:
        """Set these faults instead of all that are set."""
        self._ask("PUT", "/_faults", list(faults))

    def clear(self) -> None:
        """Have no faults any more; delayed requests go on at once."""
        self._ask("DELETE", "/_faults")

    def done(self) -> list[int]:
        """Return to how many requests each fault was done, in the order set."""
        return [each["done"] for each in self._ask("GET", "/_faults")["faults"]]

    def left(self) -> list[int | None]:
        """Return how many times each fault will still be done; None: for ever."""
        return [each["left"] for each in self._ask("GET", "/_faults")["faults"]]

    def shapes(self) -> Counter[str]:
        """Return how many requests of each method and path shape ever came."""
        return Counter(self._ask("GET", "/_faults")["counts"])

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Give the requests that come meanwhile, by method and path, when it is over.

        What the proxy itself refused or reset counts too; its control does not.
        """
        before, came = self.counts(), Counter[str]()
        yield came
        came.update(self.counts() - before)

    def logins(self) -> int:
        """Return how many logins by password ever succeeded."""
        return int(self._ask("GET", "/_faults")["logins"])

    def expire_tokens(self) -> int:
        """Have all tokens of logins expire; return how many could still be used."""
        return int(self._ask("POST", "/_tokens/expire")["expired"])

    def login(self) -> dict[str, str]:
        """Return what `v3password` has to know to log in as the administrator."""
        return {
            "auth_url": self.auth_url,
            "username": "admin",
            "password": "lab",
            "project_name": "admin-project",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }

    def site(self, conf: str, folder: Path, *, password: bool = False) -> str:
        """Write the configuration of a host that asks through the proxy.

        Args:
            conf: The site's own.
            folder: Where to write it.
            password: Log in by password, as the administrator, and find the proxy in
                the catalogue; else only the endpoint is the proxy.

        Returns:
            The path of the new file.
        """
        login = {"auth_type": "v3password"} | self.login()
        more = login if password else {"endpoint_override": self.url}
        # [cowpath] is the last section of a site's configuration.
        lines = [f"{key} = {value}" for key, value in more.items()]
        file = folder / "proxied.conf"
        file.write_text("\n".join([Path(conf).read_text().rstrip(), *lines, ""]))
        return str(file)

    def counts(self) -> Counter[str]:
        """Return how many requests of each method and path ever came."""
        return Counter(self._ask("GET", "/_counts"))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        sent = None if body is None else json.dumps(body)
        netloc = urlsplit(self.url).netloc
        with closing(HTTPConnection(netloc, timeout=30)) as connection:
            connection.request(method, path, sent)
            reply = connection.getresponse()
            told = json.loads(reply.read())
        assert reply.status == 200, told
        return told
