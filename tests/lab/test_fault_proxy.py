"""The fault proxy before the lab's real Glance: Cowpath through it, and by itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cowpath.catalog.config import GlanceConfig
from cowpath.catalog.session import SessionTransport, connect
from cowpath.core.errors import UnavailableError
from tests.lab.bench import EDGE, Bench, noise
from tests.lab.proxy import Proxy

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def proxy(lab: dict[str, Any]) -> Iterator[Proxy]:
    made = Proxy(lab["proxy"]["url"])
    made.clear()
    yield made
    made.clear()


@pytest.fixture
def asking(lab: dict[str, Any], proxy: Proxy) -> SessionTransport:
    """Return what the catalog asks through, by way of the proxy."""
    files = [lab["clouds_yaml"]]
    config = GlanceConfig(cloud="lab-admin", endpoint=proxy.url)
    return connect(config, config_files=files)


@pytest.mark.parametrize("password", [False, True], ids=["endpoint", "login"])
def test_a_disk_is_made_through_it(
    bench: Bench, proxy: Proxy, tmp_path: Path, *, password: bool
) -> None:
    image = bench.upload(noise(2))
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path, password=password)
    logins = proxy.logins()
    with proxy.counted() as came:
        ran = bench.run("disk", "create", image, bench.name(), "--json", conf=conf)
    assert ran.code == 0, ran.err
    assert EDGE in bench.stores(image)
    assert came[f"POST /v2/images/{image}/import"] == 1
    assert proxy.logins() - logins == password
    assert bench.copies(image) == 1


def test_megabytes_go_through_it_unchanged(
    bench: Bench, lab: dict[str, Any], proxy: Proxy
) -> None:
    content = os.urandom(3 * 2**20)
    through = Bench(lab | {"glance": lab["glance"] | {"url": proxy.url}})
    image = through.upload([content[:1000], content[1000:]])
    assert bench.glance_file(image, "central").read_bytes() == content
    through.clear()


def test_a_status_and_a_reset_reach_the_catalog(
    bench: Bench, proxy: Proxy, asking: SessionTransport
) -> None:
    path = f"/v2/images/{bench.announce()}"
    with proxy.faulty({"path": path, "status": 503, "times": 1, "text": "no server"}):
        reply = asking.request("GET", path)
        assert (reply.status, "no server" in str(reply.body)) == (503, True)
        assert asking.request("GET", path).status == 200
    with proxy.faulty({"path": path, "reset": True}), pytest.raises(UnavailableError):
        asking.request("POST", f"{path}/actions/deactivate")
    assert asking.request("GET", path).status == 200


def test_a_lost_reply_is_of_a_request_that_was_done(
    bench: Bench, proxy: Proxy, asking: SessionTransport
) -> None:
    image = bench.upload(noise(1))
    fault = {"method": "POST", "path": f"{image}/actions", "reset_after": True}
    with proxy.faulty(fault), pytest.raises(UnavailableError):
        asking.request("POST", f"/v2/images/{image}/actions/deactivate")
    assert bench.show(image)["status"] == "deactivated"


def test_a_stale_look_does_not_see_a_copy(
    bench: Bench, proxy: Proxy, asking: SessionTransport
) -> None:
    image = bench.upload(noise(1))
    path = f"/v2/images/{image}"
    before = asking.request("GET", path).body
    with proxy.faulty({"method": "GET", "path": path, "stale": True}):
        assert bench.run("image", "place", image).code == 0
        assert EDGE in bench.stores(image)
        assert asking.request("GET", path).body == before
    assert EDGE in str(asking.request("GET", path).body)


def test_a_paused_and_a_restarted_glance(
    bench: Bench, proxy: Proxy, asking: SessionTransport
) -> None:
    path = f"/v2/images/{bench.announce()}"
    statuses: list[int] = []
    look = Thread(target=lambda: statuses.append(asking.request("GET", path).status))
    bench.service("glance", "pause")
    try:
        with proxy.counted() as came:
            look.start()
            bench.wait(lambda: _came(proxy, path), "the request")
        assert (came[f"GET {path}"], statuses) == (1, [])
    finally:
        bench.service("glance", "resume")
    look.join(30)
    assert statuses == [200]
    bench.service("glance", "stop")
    try:
        with pytest.raises(UnavailableError):
            asking.request("GET", path)
    finally:
        bench.service("glance", "start")
    assert asking.request("GET", path).status == 200


def test_the_proxy_itself_comes_and_goes(bench: Bench, proxy: Proxy) -> None:
    proxy.set({"path": "^/nowhere", "status": 500})
    bench.service("proxy", "kill")
    bench.service("proxy", "start")
    told = json.loads(Path(bench.lab["proxy"]["log"]).with_name("port").read_text())
    assert proxy.url.endswith(f":{told}")
    assert proxy.done() == []


def test_an_expired_token_is_renewed(bench: Bench, proxy: Proxy) -> None:
    path = f"/v2/images/{bench.announce()}"
    asking = connect(GlanceConfig(auth_type="v3password", auth=proxy.login()))
    logins = proxy.logins()
    assert asking.request("GET", path).status == 200
    assert proxy.expire_tokens() >= 1
    with proxy.counted() as came:
        assert asking.request("GET", path).status == 200
    assert came == {f"GET {path}": 2, "POST /v3/auth/tokens": 1}
    assert proxy.logins() - logins == 2


def _came(proxy: Proxy, path: str) -> bool:
    return f"GET {path}" in proxy.counts()
