"""What Nova's compute manager makes of a failure: the end, or the next host's turn."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from nova import exception
from nova.compute import utils as compute_utils

from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    CopyError,
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NoSpaceError,
    NotFoundError,
    QuotaError,
    UnavailableError,
    UnsuitableError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import ImageId
from cowpath.doors.nova.refusals import as_novas
from cowpath.testing.glance_scripts import (
    Rules,
    StagingDies,
    StoreBreaks,
    StoreStalls,
)
from tests.nova.inside.cluster import RadosError
from tests.nova.inside.glance_http import refuse
from tests.nova.inside.managed import Managed
from tests.nova.inside.world import Compute, World

ABORT, NEXT = exception.BuildAbortException, exception.RescheduledException


@dataclass(frozen=True, slots=True)
class Day:
    """A bad day, and what becomes of a build on it.

    Attributes:
        begin: Makes it one.
        novas: What Nova's own class makes of it.
    """

    begin: Callable[[World, ImageId], object]
    novas: type[Exception]
    ours: type[Exception]
    says: str


DAYS = {
    "policy": Day(
        lambda world, _: setattr(world.glance, "rules", Rules()),
        NEXT,
        ABORT,
        "policy.yaml",
    ),
    "quota": Day(
        lambda world, _: setattr(
            world.glance, "rules", Rules(admins_only=False, quota_left=False)
        ),
        NEXT,
        ABORT,
        "quota",
    ),
    "method switched off": Day(
        lambda world, _: setattr(
            world.glance, "rules", Rules(admins_only=False, copy_enabled=False)
        ),
        ABORT,
        ABORT,
        "enabled_import_methods",
    ),
    "store breaks": Day(
        lambda world, _: world.glance.plan("edge1", StoreBreaks()),
        ABORT,
        ABORT,
        "failed to copy",
    ),
    "staging dies": Day(
        lambda world, _: world.glance.plan("edge1", StagingDies(), StagingDies()),
        ABORT,
        ABORT,
        "dropped it without a word",
    ),
    "store stalls": Day(
        lambda world, _: world.glance.plan("edge1", StoreStalls(seconds=10**5)),
        ABORT,
        ABORT,
        "of 1073741824 bytes",
    ),
    "leftover": Day(
        lambda world, image: world.glance.leave_partial(image, "edge1", 5),
        ABORT,
        ABORT,
        "holds 5 bytes that a broken",
    ),
    "not raw": Day(
        lambda world, image: world.glance.change(image, disk_format="qcow2"),
        ABORT,
        ABORT,
        "not raw",
    ),
    "deleted meanwhile": Day(
        lambda world, image: world.glance.at(3, lambda: world.glance.delete(image)),
        NEXT,
        NEXT,
        "could not be found",
    ),
    "no such image": Day(
        lambda world, image: world.glance.delete(image), NEXT, NEXT, "not be found"
    ),
    "pool is missing": Day(
        lambda world, _: world.edge.pools.pop("vms"), NEXT, NEXT, "no pool vms"
    ),
    "cluster refuses": Day(
        lambda world, _: setattr(
            world.edge, "refusal", RadosError("error connecting to the cluster")
        ),
        NEXT,
        NEXT,
        "error connecting",
    ),
    "pool is read-only": Day(
        lambda world, _: world.edge.read_only.add("vms"),
        NEXT,
        NEXT,
        "no write permission",
    ),
}


@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS)
def test_what_becomes_of_a_build(
    compute: Compute, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = compute.world.upload()
    day.begin(compute.world, image.id)
    managed = Managed(compute, monkeypatch)
    expected = day.ours if compute.ours else day.novas
    with pytest.raises(expected) as caught:
        managed.build(image.id)
    assert type(caught.value) is expected
    if compute.ours:
        # All that the database keeps, and that a user without admin's rights sees.
        fault = compute_utils.exception_to_dict(caught.value)["message"]
        assert day.says in fault
        assert compute.world.clock.now() < 600


def test_a_build(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    image = compute.world.upload()
    disk = Managed(compute, monkeypatch).build(image.id)
    assert compute.is_clone(disk, image.id)
    assert compute.world.edge.pools["vms"][disk].size == 2 * 2**30


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnavailableError("x"), exception.StorageError),
        (NoSpaceError("x"), exception.ImageUnacceptable),
        (ConfigError("x"), exception.StorageError),
        (UsageError("x"), exception.ImageUnacceptable),
        (ForbiddenError("x"), exception.ImageUnacceptable),
        (CredentialsError("x"), exception.ImageUnacceptable),
        (QuotaError("x"), exception.ImageUnacceptable),
        (UnsuitableError("x"), exception.ImageUnacceptable),
        (UntrustedError("x"), exception.ImageUnacceptable),
        (NotFoundError("x"), exception.ImageUnacceptable),
        (ConflictError("x"), exception.ImageUnacceptable),
        (CopyError("x"), exception.ImageUnacceptable),
    ],
    ids=lambda each: each.__class__.__name__,
)
def test_what_our_errors_are_to_nova(
    error: CowpathError, kind: type[exception.NovaException]
) -> None:
    """ImageUnacceptable is the end, anything else the next host's turn."""
    told = as_novas(error, "image", "edge1")
    assert isinstance(told, kind)
    assert "x" in str(told)
    said = "Copy to store edge1 unsuccessful because: x" in str(told)
    assert said is isinstance(error, CopyError)


def test_all_of_it_is_in_the_log(
    ours: Compute, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = ours.world.upload()
    ours.world.glance.leave_partial(image.id, "edge1", 5)
    with pytest.raises(ABORT):
        Managed(ours, monkeypatch).build(image.id)
    assert f"rbd trash mv images/{image.id}" in caplog.text


def test_a_store_that_never_answers_is_the_next_host_s_matter(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.world.stores[-1].silent = True
    image = ours.world.upload()
    with pytest.raises(NEXT) as caught:
        Managed(ours, monkeypatch).build(image.id)
    assert "does not answer" in str(caught.value)


@pytest.mark.parametrize("status", [500, 503])
def test_a_glance_that_never_answers_is_the_next_host_s_matter(
    ours: Compute, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    image = ours.world.upload()

    def before(method: str, _url: str) -> None:
        if method == "POST" or ours.world.clock.now() > 0:
            raise refuse(status, "no")

    ours.world.http.before = before
    with pytest.raises(NEXT) as caught:
        Managed(ours, monkeypatch).build(image.id)
    assert f"HTTP {status}" in str(caught.value)


def test_a_glance_that_is_away_for_a_while_is_waited_for(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ours.world.upload()

    def before(_method: str, _url: str) -> None:
        if 1 < ours.world.clock.now() < 60:
            raise refuse(503, "no")

    ours.world.http.before = before
    disk = Managed(ours, monkeypatch).build(image.id)
    assert ours.is_clone(disk, image.id)
