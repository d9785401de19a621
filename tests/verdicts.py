"""What becomes of other people's tests that are run by one of our programs.

Of the standard library only: it is loaded where the rest of our tests are not.
"""

import unittest
from collections.abc import Callable
from typing import Any, Protocol

_LAST_CHARACTERS = 3000


class Outcome(Protocol):
    """What became of the tests.

    Attributes:
        ran: Their names.
        failed: Of each that failed, the end of its traceback.
    """

    ran: list[str]
    failed: dict[str, str]


class Verdicts(unittest.TestResult):
    """Fills in an `Outcome`."""

    def __init__(
        self, outcome: Outcome, name: Callable[[unittest.TestCase], str]
    ) -> None:
        """Begin to note.

        Args:
            outcome: Where.
            name: Returns what a test is called there.
        """
        super().__init__()
        self._outcome = outcome
        self._name = name

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802  # unittest's
        """Note that a test begins."""
        super().startTest(test)
        self._outcome.ran.append(self._name(test))

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Note that a test raised something."""
        super().addError(test, err)
        self._fail(test, self.errors[-1][1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Note that what a test asserts is not so."""
        super().addFailure(test, err)
        self._fail(test, self.failures[-1][1])

    def _fail(self, test: unittest.TestCase, traceback: str) -> None:
        self._outcome.failed[self._name(test)] = traceback[-_LAST_CHARACTERS:]
