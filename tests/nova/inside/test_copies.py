"""A boot whose image must be copied: Nova's way to follow it, and ours.

The numbers keep the cases of one defect of Nova's together.
"""

from dataclasses import replace
from typing import Any

import pytest
from nova import exception
from nova.virt.libvirt import imagebackend

from cowpath.core.errors import CredentialsError, UnavailableError
from cowpath.core.model import Image, StoreName
from cowpath.testing.glance_scripts import (
    Pace,
    Rules,
    StagingDies,
    StoreBreaks,
    Trouble,
    Verb,
)
from tests.nova.inside.world import EDGE, Compute

COPY, GET = Verb.COPY, Verb.GET


def refused(compute: Compute, image: Image) -> str:
    """Boot an image, which must be refused for good; return what is said."""
    with pytest.raises(exception.ImageUnacceptable) as caught:
        compute.boot(image.id)
    assert compute.disks == []
    return str(caught.value)


def cloned(compute: Compute, image: Image) -> None:
    """Boot an image, and see that the disk is a clone of it."""
    assert compute.is_clone(compute.boot(image.id), image.id)
    assert compute.world.downloads == []


def test_an_image_is_copied_and_cloned(compute: Compute) -> None:
    image = compute.world.upload()
    cloned(compute, image)
    cloned(compute, image)
    assert compute.world.count(COPY) == 1


def test_01_a_failed_copy_is_seen(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.plan("edge1", StoreBreaks())
    said = refused(compute, image)
    assert compute.world.count(COPY) == 1
    if compute.ours:
        assert "Copy to store edge1 unsuccessful because: " in said
        assert "failed to copy" in said
        assert compute.world.clock.now() < 30
    else:
        assert "timed out" in said
        assert compute.world.clock.now() >= 600


@pytest.mark.parametrize("store", ["edge1", "edge2"])
def test_02_an_import_that_runs_already_is_waited_for(
    compute: Compute, store: str
) -> None:
    image = compute.world.upload()
    compute.world.glance.copy_elsewhere(image.id, store)
    if compute.ours:
        cloned(compute, image)
        # Somebody's copy to our store is ours too; after another one, we ask.
        assert len(compute.world.glance._imports._tasks) == 1 + (store == "edge2")
    else:
        assert "still in progress" in refused(compute, image)
        assert compute.world.clock.slept == []


def test_02_an_import_that_runs_already_is_no_reason_to_download(
    compute: Compute,
) -> None:
    compute.set(never_download_image_if_on_rbd=False)
    image = compute.world.upload()
    compute.world.glance.copy_elsewhere(image.id, "edge2")
    disk = compute.boot(image.id)
    assert compute.is_clone(disk, image.id) is compute.ours
    assert compute.world.downloads == ([] if compute.ours else [image.id])


def test_03_stores_are_compared_whole(compute: Compute) -> None:
    image = compute.world.upload(
        stores=frozenset({StoreName("central"), StoreName("edge10")})
    )
    if compute.ours:
        cloned(compute, image)
    else:
        assert "No image locations are accessible" in refused(compute, image)
        assert compute.world.clock.now() == 0, "edge10 was taken for edge1"


def test_04_what_policy_forbids_is_told_with_its_cure(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.rules = Rules(admins_only=True)
    kind = exception.ImageUnacceptable if compute.ours else exception.ImageNotAuthorized
    with pytest.raises(kind) as caught:
        compute.boot(image.id)
    assert ("policy.yaml" in str(caught.value)) is compute.ours
    assert compute.world.count(COPY) == 1


@pytest.mark.parametrize("error", [UnavailableError, CredentialsError])
def test_05_trouble_while_following_is_survived(
    compute: Compute, error: type[UnavailableError | CredentialsError]
) -> None:
    image = compute.world.upload()
    trouble = Trouble(error, frozenset({GET}), times=2)
    compute.world.glance.at(3, lambda: compute.world.glance.trouble(trouble))
    if compute.ours:
        cloned(compute, image)
        return
    # Not what ends a build: it goes on at another host, and fails there.
    with pytest.raises(Exception, match=r"HTTP 500|Not authorized") as caught:
        compute.boot(image.id)
    assert not isinstance(caught.value, exception.ImageUnacceptable)
    assert compute.world.count(COPY) == 1


def test_05_a_refused_connection_while_following_is_survived(compute: Compute) -> None:
    image = compute.world.upload()
    away = (2, 12) if compute.ours else (10, 40)

    def before(_method: str, _url: str) -> None:
        if away[0] < compute.world.clock.now() < away[1]:
            raise ConnectionRefusedError

    compute.world.http.before = before
    if compute.ours:
        cloned(compute, image)
    else:
        with pytest.raises(exception.GlanceConnectionFailed):
            compute.boot(image.id)


def test_05_a_reply_that_was_lost_is_not_asked_for_again(compute: Compute) -> None:
    """Nova's client asks again, and meets its own copy's lock."""
    image = compute.world.upload()
    lost = [True]

    def before(method: str, _url: str) -> None:
        if method == "POST" and lost:
            lost.clear()
            compute.world.glance.copy_elsewhere(image.id, "edge1")
            raise ConnectionResetError

    compute.world.http.before = before
    if compute.ours:
        cloned(compute, image)
    else:
        assert "still in progress" in refused(compute, image)


def test_06_a_400_is_read(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.rules = Rules(copy_enabled=False)
    said = refused(compute, image)
    if compute.ours:
        assert "enabled_import_methods" in said
        assert compute.world.clock.now() == 0
    else:
        assert "timed out" in said
        assert compute.world.clock.now() >= 600


def test_06_a_400_of_an_image_that_has_just_come_is_no_failure(
    compute: Compute,
) -> None:
    image = compute.world.upload()

    def before(method: str, _url: str) -> None:
        if method == "POST" and not compute.world.clock.slept:
            compute.world.glance.copy_elsewhere(image.id, "edge1")
            compute.world.clock.sleep(60)

    compute.world.http.before = before
    cloned(compute, image)


def test_08_a_copy_that_dies_silently_is_given_up(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.plan("edge1", StagingDies(), StagingDies(flag_stays=False))
    said = refused(compute, image)
    if compute.ours:
        assert "dropped it without a word" in said
        assert compute.world.clock.now() < 120
    else:
        assert "timed out" in said
        assert compute.world.clock.now() >= 600


def test_08_a_copy_that_dies_once_is_asked_for_again(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.plan("edge1", StagingDies())
    if compute.ours:
        cloned(compute, image)
        assert compute.world.count(COPY) == 2
    else:
        assert "timed out" in refused(compute, image)


def test_09_a_leftover_is_named_with_its_cure(compute: Compute) -> None:
    image = compute.world.upload()
    compute.world.glance.leave_partial(image.id, "edge1", 1000)
    said = refused(compute, image)
    if compute.ours:
        assert f"rbd trash mv images/{image.id}" in said
        assert compute.world.count(COPY) == 0
    else:
        assert "timed out" in said
        assert compute.world.count(COPY) == 1


class _ReadsFailures:
    """Nova's image API, with what Nova looks for where Nova looks for it."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def get(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        told = self._api.get(*args, **kwargs)
        return {**told, **told["properties"]}


def test_10_an_old_failure_is_not_news(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To Nova no failure is; were it mended, an old one would be."""
    image = compute.world.upload(failed=frozenset({EDGE}))
    if compute.ours:
        cloned(compute, image)
        return
    api = _ReadsFailures(imagebackend.IMAGE_API)
    monkeypatch.setattr(imagebackend, "IMAGE_API", api)
    assert "failed import" in refused(compute, image)
    assert compute.world.clock.now() == 0


def test_12_a_location_that_is_being_hashed_is_waited_for(compute: Compute) -> None:
    """A snapshot that was just registered holds the same lock."""
    image = compute.world.upload()
    locked = replace(compute.world.glance.get(image.id), lock="hashing")
    compute.world.glance.add(locked)
    compute.world.glance.at(
        20, lambda: compute.world.glance.change(image.id, lock=None)
    )
    compute.world.glance.requests.clear()
    if compute.ours:
        cloned(compute, image)
        assert compute.world.clock.now() > 20
    else:
        assert "still in progress" in refused(compute, image)
        assert compute.world.clock.now() == 0


@pytest.mark.parametrize("storing", [5, 400])
def test_16_looks_are_seldom_and_at_the_right_moment(
    compute: Compute, storing: float
) -> None:
    world = compute.world
    world.glance.pace = Pace(staging=60, storing=storing)
    image = world.upload()
    cloned(compute, image)
    over = 0.5 + 60 + storing + 0.3
    late, looks = world.clock.now() - over, world.count(GET)
    if compute.ours:
        assert late < 2
        # 19 to 21 by chance: no two hosts look at the same moments.
        assert looks <= 24
    else:
        assert 3 < late <= 15
        assert looks >= over / 15
