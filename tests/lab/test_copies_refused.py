"""Copies that Glance refuses, or that lose their image: one request, and the cure."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bench import EDGE, Bench, Ran, finished, follow, noise, size_of
from tests.lab.proxy import Proxy

pytestmark = pytest.mark.lab

_BETWEEN_CHANGES = 0.2
_JSON = {"COWPATH_PROGRESS": "json"}
_QUOTA = (
    "User member-project has exceeded their limit for image_size_total: 10 MiB used, "
    "limit 10 MiB"
)


@contextmanager
def _asked_once(bench: Bench) -> Iterator[None]:
    """Accept one request for a copy, and that refused: Glance takes none of them."""
    before = bench.copy_requests()
    yield
    assert bench.copy_requests() - before == 1


def _refused(ran: Ran, code: int, *facts: str) -> None:
    assert ran.code == code, ran
    for fact in facts:
        assert fact in ran.err


def test_a_member_under_the_default_policy(bench: Bench) -> None:
    image, name = bench.upload(noise(1), visibility="public"), bench.name()
    with _asked_once(bench):
        ran = bench.run("disk", "create", image, name, cloud="lab-member")
    _refused(ran, 6, "copy_image", "policy.yaml", "[cowpath_copy]", image, EDGE)
    assert bench.copies(image) == 0
    assert bench.stores(image) == {"central"}


def test_a_quota(bench: Bench, lab: dict[str, Any], tmp_path: Path) -> None:
    """Glance's own quotas are Keystone's unified limits; here the proxy answers so."""
    proxy = Proxy(lab["proxy"]["url"])
    image = bench.upload(noise(1))
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path)
    path = f"/v2/images/{image}/import$"
    fault = {"method": "POST", "path": path, "status": 413, "body": "json"}
    with proxy.counted() as came, proxy.faulty(fault | {"text": _QUOTA}):
        ran = bench.run("image", "place", image, conf=conf)
    _refused(ran, 15, _QUOTA, image, "delete images that are no longer needed")
    assert came[f"POST /v2/images/{image}/import"] == 1
    assert bench.run("image", "place", image, conf=conf).code == 0


def _serving(bench: Bench, folder: Path, roles: str = "admin") -> str:
    """Configure a site that copies with credentials of its own."""
    conf = Path(bench.conf(folder, images_rbd_glance_copy_poll_interval=1))
    lines = [
        "[cowpath_copy]",
        "auth_type = admin_token",
        f"endpoint = {bench.lab['glance']['url']}",
        f"token = service:service:{roles}",
        f"endpoint_override = {bench.lab['glance']['url']}",
    ]
    conf.write_text("\n".join([conf.read_text(), *lines, ""]))
    return str(conf)


def test_service_credentials_copy_what_the_caller_sees(
    bench: Bench, tmp_path: Path
) -> None:
    conf = _serving(bench, tmp_path)
    image, name = bench.upload(noise(1), visibility="public"), bench.name()
    with _asked_once(bench):
        ran = bench.run("disk", "create", image, name, conf=conf, cloud="lab-member")
    assert ran.code == 0, ran
    assert (bench.copies(image), bench.stores(image)) == (1, {"central", EDGE})


def test_service_credentials_do_not_copy_what_the_caller_does_not_see(
    bench: Bench, tmp_path: Path
) -> None:
    image, conf = (
        bench.upload(noise(1), visibility="private"),
        _serving(bench, tmp_path),
    )
    before = bench.copy_requests()
    for words in (["image", "place", image], ["image", "place", image, "--no-wait"]):
        ran = bench.run(*words, conf=conf, cloud="lab-member")
        _refused(ran, 3, image, "not ours to see")
    assert bench.copy_requests() == before
    assert bench.stores(image) == {"central"}


def test_service_credentials_that_may_not_copy(bench: Bench, tmp_path: Path) -> None:
    image = bench.upload(noise(1), visibility="public")
    conf = _serving(bench, tmp_path, "member,reader")
    with _asked_once(bench):
        ran = bench.run("image", "place", image, conf=conf, cloud="lab-member")
    _refused(ran, 6, "[cowpath_copy]", "copy_image")


@pytest.fixture(scope="module", autouse=True)
def _standard(bench: Bench) -> Iterator[None]:
    """Start Glance with the lab's own settings when all is done."""
    yield
    bench.service("glance", "start")


@pytest.fixture
def slow(bench: Bench) -> None:
    """Have a Glance that takes its time, so that an image can change meanwhile."""
    # It reads and writes in pieces of so many bytes.
    small = "filesystem_store_chunk_size=2048"
    sets = ("--set", f"edge2.{small}", "--set", f"{EDGE}.{small}")
    bench.service("glance", "start", *sets)


@contextmanager
def _staging(
    bench: Bench, image: str, conf: str, cloud: str = "lab-admin"
) -> Iterator[list[Ran]]:
    """Bring an image from edge2 meanwhile, which is read in small pieces."""
    ended: list[Ran] = []
    words = ("image", "place", image)
    with bench.start(*words, conf=conf, OS_CLOUD=cloud, **_JSON) as placing:
        assert placing.stderr
        follow(placing.stderr, '"CopyAsked"')
        bench.wait(lambda: size_of(bench.staged(image)) > 0, "the staging")
        yield ended
        ended.append(finished(placing))


@pytest.fixture
def hasty(bench: Bench, tmp_path: Path) -> str:
    return bench.conf(tmp_path, images_rbd_glance_copy_poll_interval=1)


@pytest.mark.usefixtures("slow")
def test_deleted_meanwhile(bench: Bench, hasty: str) -> None:
    image = bench.upload(noise(12), store="edge2")
    with _staging(bench, image, hasty) as ended:
        bench.delete(image)
    (ran,) = ended
    _refused(ran, 3, image, "was deleted, or is not ours to see any more")
    bench.wait(lambda: not bench.staged(image).exists(), "the end of the task")
    assert not bench.base(image).exists()
    assert bench.copies(image) == 1


@pytest.mark.usefixtures("slow")
def test_deactivated_meanwhile(bench: Bench, hasty: str) -> None:
    image = bench.upload(noise(12), store="edge2")
    with _staging(bench, image, hasty) as ended:
        bench.ask("POST", f"/v2/images/{image}/actions/deactivate")
    (ran,) = ended
    _refused(ran, 4, image, "became deactivated", "--activate")
    _is_over(bench, image)
    # Glance has dropped it, and keeps the flag of an import that is none.
    assert bench.show(image)["os_glance_importing_to_stores"] == EDGE
    bench.ask("POST", f"/v2/images/{image}/actions/reactivate")
    again = bench.run("image", "place", image)
    assert again.code == 0, again
    assert (bench.copies(image), bench.stores(image)) == (2, {"edge2", EDGE})


@pytest.mark.usefixtures("slow")
def test_made_private_meanwhile(bench: Bench, tmp_path: Path) -> None:
    """Whose copy was asked for by the service: the caller sees it no more.

    Glance saves the image as it loaded it at the end of each step, and it is public
    again: so it is made private again, too, as often as that may be.
    """
    image = bench.upload(noise(40), store="edge2", visibility="public")
    conf = _serving(bench, tmp_path)
    private = [{"op": "replace", "path": "/visibility", "value": "private"}]
    change = partial(bench.patch, image, private)
    with ExitStack() as stack, _staging(bench, image, conf, "lab-member") as ended:
        change()
        stack.enter_context(_again_and_again(change))
    (ran,) = ended
    _refused(ran, 3, image, "was deleted, or is not ours to see any more")
    assert bench.copies(image) == 1
    _is_over(bench, image)


@contextmanager
def _again_and_again(change: Callable[[], object]) -> Iterator[None]:
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(_BETWEEN_CHANGES):
            change()

    with ThreadPoolExecutor(1) as pool:
        repeating = pool.submit(repeat)
        try:
            yield
        finally:
            over.set()
        repeating.result()


def _is_over(bench: Bench, image: str) -> None:
    lock = "os_glance_import_task"
    bench.wait(lambda: lock not in bench.show(image), "the end of the task")


def test_copy_image_is_not_enabled(bench: Bench) -> None:
    image = bench.upload(noise(1))
    methods = "DEFAULT.enabled_import_methods=[glance-direct]"
    bench.service("glance", "start", "--set", methods)
    with _asked_once(bench):
        ran = bench.run("image", "place", image)
    _refused(ran, 4, "copy-image is switched off", "enabled_import_methods", image)
