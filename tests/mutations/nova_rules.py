"""Nova's ways to follow a copy, each put back in turn: a test must notice.

Evidence for each: `nova/virt/libvirt/imagebackend.py` (`Rbd.copy_to_store`) and
`nova/image/glance.py`, as of August 2026, run against the answers of Glance 33.
"""

from dataclasses import dataclass

_WATCH = "core/copy_watch.py"
_LOOKS = "core/copy_looks.py"
_MODEL = "core/model.py"
_WIRE = "catalog/wire.py"
_REFUSALS = "catalog/refusals.py"
_SESSION = "catalog/session.py"
_FOLLOWING = "provision/ways/following.py"
_INFLIGHT = "provision/inflight.py"

_RULES = ("tests/unit/test_copy_watch*.py", "tests/flows")
_HTTP = (
    "tests/unit/test_wire.py",
    "tests/unit/test_session.py",
    "tests/contracts/test_catalog_glance.py",
)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of our code that brings one of Nova's rules back.

    Attributes:
        rule: What Nova does.
        file: Below src/cowpath.
        ours: Our text, which is there exactly once.
        theirs: What takes its place.
        tests: Where a test must fail.
    """

    rule: str
    file: str
    ours: str
    theirs: str
    tests: tuple[str, ...] = _RULES


MUTATIONS = (
    Mutation(
        "a failure that Glance lists is never seen",
        _WATCH,
        "failed = self._store in image.failed and",
        "failed = False and",
    ),
    Mutation(
        "os_glance_failed_import is looked for where it is not",
        _WIRE,
        "failed=_stores(told.get(_FAILED)),",
        "failed=frozenset(),",
        _HTTP,
    ),
    Mutation(
        "edge1 is found in edge10",
        _MODEL,
        "return store in self.stores and not",
        'return store in ",".join(self.stores) and not',
    ),
    Mutation(
        "a 409 of another site's import is the end",
        _REFUSALS,
        "        return CopyAnswer.BUSY\n",
        '        return UnsuitableError("Nova: ImageImportImpossible")\n',
        _HTTP,
    ),
    Mutation(
        "busy is the end",
        _WATCH,
        "            if self._followed_since is None:\n"
        "                self._queue(now)\n"
        "            return\n",
        "            raise CopyTimeoutError\n",
    ),
    Mutation(
        "somebody else's copy to our store is asked for again",
        _WATCH,
        "        if running:\n"
        "            self._follow(now)\n"
        "            self._joined = now\n"
        "            return Join()\n",
        "        if running:\n            return Ask()\n",
    ),
    Mutation(
        "a 400, whatever for, is taken for `already there`",
        _REFUSALS,
        "    if _PRESENT.search(told):\n",
        "    if told:\n",
        _HTTP,
    ),
    Mutation(
        "one HTTP 500 while polling is the end",
        _FOLLOWING,
        "_TRANSIENT = (UnavailableError, CredentialsError)",
        "_TRANSIENT = (CredentialsError,)",
    ),
    Mutation(
        "one expired token while polling is the end",
        _FOLLOWING,
        "_TRANSIENT = (UnavailableError, CredentialsError)",
        "_TRANSIENT = (UnavailableError,)",
    ),
    Mutation(
        "a copy that died in staging is waited for",
        _WATCH,
        "        if over and gone:\n",
        "        if False:\n",
    ),
    Mutation(
        "the importing flag is believed without a lock",
        _MODEL,
        "return bool(self.lock) and store in self.importing",
        "return store in self.importing",
    ),
    Mutation(
        "an image without `stores` is a KeyError",
        _WIRE,
        'stores=_stores(told.get("stores")),',
        'stores=_stores(told["stores"]),',
        _HTTP,
    ),
    Mutation(
        "the first look comes after a whole interval",
        _LOOKS,
        "        self._interval = self._patience.first\n        self.grew",
        "        self._interval = self._patience.poll\n        self.grew",
    ),
    Mutation(
        "looks come at a fixed interval, also when all bytes are here",
        _LOOKS,
        "        if self._hurry:\n            return now\n",
        "",
    ),
    Mutation(
        "a failure of the last time fails the next copy",
        _WATCH,
        "        if failed and (over or not self._old_failure):\n",
        "        if failed:\n",
    ),
    Mutation(
        "a request whose reply was lost is repeated blindly",
        _SESSION,
        '_RETRIES = {"GET": 1, "POST": 0}',
        '_RETRIES = {"GET": 3, "POST": 3}',
        _HTTP,
    ),
    Mutation(
        "a copy over a leftover is asked for, and fails with Duplicate each time",
        _WATCH,
        "        if leftover is None:\n",
        "        if leftover is not self:\n",
    ),
    Mutation(
        "a copy that stopped is waited for to the end of the timeout",
        _LOOKS,
        "        if self.grew is None or not self._patience.stall:\n",
        "        if True:\n",
    ),
    Mutation(
        "every caller in a process follows on its own",
        _INFLIGHT,
        "for key in keys if key in self._flights}",
        "for key in keys if key is None}",
        ("tests/unit/test_inflight.py", "tests/flows"),
    ),
    Mutation(
        "a deactivated image is waited for",
        _WATCH,
        '        if image.status != "active":\n',
        "        if False:\n",
    ),
    Mutation(
        "listed is done, whether the bytes are here or not",
        _WATCH,
        "        if not first and not aged:\n            return Wait()\n",
        "        return Wait()\n",
    ),
)
