"""What the fault proxy answers with, and what it remembers of answers."""

import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from http.client import responses
from threading import Lock

_LENGTH = "Content-Length"
# How far back an answer can be asked for.
REMEMBERED = 100

_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

Headers = tuple[tuple[str, str], ...]
# Who asks (the token as Glance gets it), and for what (path and query).
Question = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request.

    Attributes:
        status: Its status.
        reason: The words beside it.
        headers: Those that describe the answer, not the connection.
        body: In pieces, read once.
    """

    status: int
    reason: str
    headers: Headers = ()
    body: Iterable[bytes] = ()

    def whole(self) -> "Answer":
        """Return the same with its body in one piece, to be sent more than once."""
        content = b"".join(self.body)
        whole = replace(self, body=(content,))
        if self.header(_LENGTH) is None:
            told = (_LENGTH, str(len(content)))
            return replace(whole, headers=(*self.headers, told))
        return whole

    def header(self, wanted: str) -> str | None:
        """Return the value of a header, or None where there is none."""
        for name, value in self.headers:
            if name.lower() == wanted.lower():
                return value
        return None


def said(status: int, kind: str, text: str, *headers: tuple[str, str]) -> Answer:
    """Return an answer of our own.

    Args:
        status: Its status.
        kind: Its content type.
        text: Its body.
        headers: What else it carries.
    """
    content = text.encode()
    about = (
        ("Content-Type", f"{kind}; charset=UTF-8"),
        (_LENGTH, str(len(content))),
    )
    return Answer(status, _reason(status), (*about, *headers), (content,))


def _reason(status: int) -> str:
    return responses.get(status, "Fault")


def as_json(document: object, status: int = 200, *headers: tuple[str, str]) -> Answer:
    """Return a JSON answer."""
    return said(status, "application/json", json.dumps(document), *headers)


def as_html(status: int, text: str) -> Answer:
    """Return a page such as Glance and load balancers send with an error."""
    title = _reason(status)
    page = (
        f"<html><head><title>{status} {title}</title></head>"
        f"<body><h1>{status} {title}</h1>{escape(text)}</body></html>"
    )
    return said(status, "text/html", page)


@dataclass(slots=True)
class History:
    """What Glance answered to each question, latest last; for several threads."""

    _answers: dict[Question, deque[Answer]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, question: Question, answer: Answer) -> None:
        """Remember an answer in one piece."""
        with self._lock:
            fresh = deque[Answer](maxlen=REMEMBERED)
            self._answers.setdefault(question, fresh).append(answer)

    def ago(self, question: Question, requests: int) -> Answer:
        """Return what was answered some requests before the latest.

        Args:
            question: One that has been answered.
            requests: How many before; the oldest known where there are fewer.
        """
        with self._lock:
            answers = self._answers[question]
            return answers[max(0, len(answers) - 1 - requests)]

    def latest(self) -> dict[Question, Answer]:
        """Return the latest answer to every question."""
        with self._lock:
            return {key: answers[-1] for key, answers in self._answers.items()}


@dataclass(slots=True)
class Counts:
    """How many requests came, by method and path; for several threads."""

    _counts: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def add(self, method: str, path: str) -> None:
        """Count a request, at the moment it comes."""
        with self._lock:
            self._counts[f"{method} {path}"] += 1

    def clear(self) -> None:
        """Begin again."""
        with self._lock:
            self._counts.clear()

    def by_path(self) -> Mapping[str, int]:
        """Return the counts of each method and path."""
        with self._lock:
            return dict(self._counts)

    def by_shape(self) -> Mapping[str, int]:
        """Return the same with `{id}` for every id."""
        shapes = Counter[str]()
        for request, count in self.by_path().items():
            shapes[_ID.sub("{id}", request)] += count
        return shapes
