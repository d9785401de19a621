"""What the fault proxy is told and asked: the paths that begin with `/_`."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus

from lab.fault_proxy_answers import Answer, Counts, History, as_json
from lab.fault_proxy_faults import BadFaultError, Faults, parse
from lab.fault_proxy_glance import GlanceBehind
from lab.fault_proxy_keystone import Keystone

PREFIX = "/_"
_PATHS = "GET|PUT|DELETE /_faults, GET|DELETE /_counts, POST /_tokens/expire"


@dataclass(frozen=True, slots=True)
class Control:
    """All that the proxy knows, and who may change it: everybody.

    Attributes:
        glance: Who answers.
        keystone: Who logs in.
        faults: What is done wrong.
        counts: What came.
        history: What was answered.
    """

    glance: GlanceBehind
    keystone: Keystone
    faults: Faults = field(default_factory=Faults)
    counts: Counts = field(default_factory=Counts)
    history: History = field(default_factory=History)

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Do what a request asks for.

        Args:
            method: Its method.
            path: Its path, without a query.
            body: Its body.
        """
        match method, path:
            case "PUT", "/_faults":
                return self._set(body)
            case "DELETE", "/_faults":
                self.faults.replace([], {})
            case "GET", "/_faults":
                pass
            case "GET" | "DELETE", "/_counts":
                return self._count(method)
            case "POST", "/_tokens/expire":
                return as_json({"expired": self.keystone.expire()})
            case _:
                return _refused(
                    HTTPStatus.NOT_FOUND, f"No {method} {path}; there are {_PATHS}."
                )
        return as_json(self._describe())

    def _set(self, body: bytes) -> Answer:
        try:
            faults = parse(json.loads(body))
        except BadFaultError as error:
            return _refused(HTTPStatus.BAD_REQUEST, str(error))
        except ValueError as error:
            return _refused(HTTPStatus.BAD_REQUEST, f"This is no JSON: {error}.")
        self.faults.replace(faults, self.history.latest())
        return as_json(self._describe())

    def _count(self, method: str) -> Answer:
        if method == "DELETE":
            self.counts.clear()
        return as_json(self.counts.by_path())

    def _describe(self) -> dict[str, object]:
        return {
            "faults": self.faults.describe(),
            "counts": self.counts.by_shape(),
            "logins": self.keystone.logins,
        }


def _refused(status: HTTPStatus, message: str) -> Answer:
    return as_json({"error": message}, status)
