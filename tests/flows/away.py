"""A store that does not answer at times, as when an OSD or a monitor is out."""

from collections import Counter
from collections.abc import Sequence
from math import inf

from cowpath.core.errors import UnavailableError
from cowpath.core.model import Arrival, Base, Image, Intake, Leftover
from cowpath.stores.memory import MemoryConfig, MemoryStore
from tests.flows.world import EDGE, World

ALWAYS = ((0.0, inf),)


class AwayStore(MemoryStore):
    """The store of site edge1, where some questions get no answer.

    Attributes:
        unanswered: How often each question was asked in vain.
    """

    def __init__(
        self,
        world: World,
        *questions: str,
        whiles: Sequence[tuple[float, float]] = ALWAYS,
        waits: float = 0,
    ) -> None:
        """Be silent at times.

        Args:
            world: Has the clock.
            questions: What is not answered, by the port's names.
            whiles: When: from when, for how long.
            waits: Seconds that each of them takes.
        """
        super().__init__(MemoryConfig(EDGE))
        self.unanswered: Counter[str] = Counter()
        self._clock, self._whiles, self._waits = world.clock, whiles, waits
        self._questions = questions

    @property
    def territory(self) -> str:
        self._check("territory")
        return super().territory

    def find_base(self, image: Image) -> Base | None:
        self._check("find_base")
        return super().find_base(image)

    def arrival(self, image: Image) -> Arrival | None:
        self._check("arrival")
        return super().arrival(image)

    def leftover(self, image: Image) -> Leftover | None:
        self._check("leftover")
        return super().leftover(image)

    def intake(self) -> Intake:
        self._check("intake")
        return super().intake()

    def _check(self, question: str) -> None:
        now = self._clock.now()
        if question not in self._questions:
            return
        if any(begin <= now < begin + length for begin, length in self._whiles):
            self.unanswered[question] += 1
            if self._waits:
                self._clock.sleep(self._waits)
            raise UnavailableError("the OSDs did not answer in time")
