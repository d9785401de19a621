"""How we reach Glance over HTTP: endpoint, credentials, timeouts.

The only module that imports openstacksdk, keystoneauth1 or requests, and the only one
that knows their exceptions. openstacksdk is used for its configuration alone: its
own image client asks for version documents first, and we promise that one call is
one request. Nothing here asks anything before the first request.
"""

import json as jsonlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import requests
from keystoneauth1 import exceptions as ksa
from keystoneauth1 import loading

from cowpath.catalog.config import GlanceConfig
from cowpath.catalog.transport import Reply
from cowpath.core.errors import (
    ConfigError,
    CowpathError,
    CredentialsError,
    UnavailableError,
)
from cowpath.core.model import Seconds

_SERVICE = "image"
_VERSION_PATH = re.compile(r"/v2(\.\d+)?/*$")
_USER_IN_URL = re.compile(r"(?<=//)[^/@\s]+@")
_LONGEST_TEXT = 2000

_TRUE = frozenset({"1", "true", "yes", "on"})
_TLS = frozenset({"cafile", "certfile", "keyfile", "insecure"})

# A GET may be repeated at will. A POST whose connection broke may have been taken:
# who asked decides what to do then.
_RETRIES = {"GET": 1, "POST": 0}
_RETRY_DELAY: Seconds = 0.2


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for Glance and Keystone.

    Attributes:
        connect: Seconds until the connection stands.
        read: Seconds between two pieces of a reply. A stopped Glance takes
            connections and stays silent, and keystoneauth counts that among what
            `connect_retries` repeats: a look at it lasts twice this long, and may
            outlast a copy's patience by as much. So a minute at most.
    """

    connect: Seconds = 5
    read: Seconds = 30


@dataclass(frozen=True, slots=True)
class Where:
    """Which Glance.

    Attributes:
        endpoint: Its URL, with or without `/v2`; empty asks the service catalogue.
        region: The region in the catalogue; empty for any.
        interface: `public`, `internal` or `admin`.
    """

    endpoint: str = ""
    region: str = ""
    interface: str = "public"


class SessionTransport:
    """A Transport over a keystoneauth session; safe to share between threads.

    An expired token is renewed by keystoneauth, where it can.
    """

    def __init__(
        self, session: Any, where: Where, timeouts: Timeouts, group: str = "cowpath"
    ) -> None:
        """Ask over `session`, which knows how to log in.

        Args:
            session: Keystoneauth's.
            where: Which Glance.
            timeouts: How long to wait.
            group: The configuration's group that credentials may stand in.
        """
        self._session = session
        self._group = group
        self._where = where
        self._timeouts = timeouts
        self._root = _root(where.endpoint) if where.endpoint else None
        self._user_agent = f"cowpath/{_our_version()}"

    @property
    def endpoint(self) -> str:
        """Return where requests go, for messages."""
        return _without_user(self._root or "the catalogue's image endpoint")

    def request(
        self, method: str, path: str, json: Mapping[str, object] | None = None
    ) -> Reply:
        """Send one request and return its reply, whatever its status."""
        with _translated(self.endpoint, self._group):
            if self._root is None:
                self._root = self._look_up()
            response = self._session.request(
                self._root + path,
                method,
                json=json,
                headers={"Accept": "application/json"},
                user_agent=self._user_agent,
                timeout=(self._timeouts.connect, self._timeouts.read),
                connect_retries=_RETRIES.get(method, 0),
                connect_retry_delay=_RETRY_DELAY,
                redirect=False,
                raise_exc=False,
            )
            date = _date(response.headers.get("Date"))
            return Reply(response.status_code, _body(response.content), date)

    def _look_up(self) -> str:
        found = self._session.get_endpoint(
            service_type=_SERVICE,
            interface=self._where.interface,
            region_name=self._where.region or None,
            skip_discovery=True,
        )
        if not found:
            raise ConfigError(
                f"the service catalogue has no {self._where.interface} image endpoint "
                f"in region {self._where.region or '(any)'}: set the region and "
                f"interface, or image_endpoint_override"
            )
        return _root(str(found))


def connect(
    config: GlanceConfig,
    *,
    config_files: Sequence[str] | None = None,
    timeouts: Timeouts | None = None,
) -> SessionTransport:
    """Return a Transport with the credentials that `config` names.

    Args:
        config: With `auth_type`, a keystoneauth plugin of our own; else what every
            OpenStack client would use: a cloud of clouds.yaml, OS_CLOUD, OS_*.
        config_files: Where to look for clouds.yaml instead of the usual places.
        timeouts: How long to wait.

    Raises:
        ConfigError: openstacksdk, the cloud, credentials or endpoint are missing or
            wrong.
    """
    timeouts = timeouts or Timeouts()
    with _translated("the image service", config.group):
        if config.auth_type:
            session, where = _of_plugin(config)
        else:
            session, where = _of_cloud(config, config_files)
    if session.timeout is None:
        # For the requests that log in; ours carry their own.
        session.timeout = timeouts.read
    return SessionTransport(session, where, timeouts, config.group)


def auth_option_names(auth_type: str, group: str) -> frozenset[str]:
    """Return the options that an auth plugin of keystoneauth takes, and TLS's.

    Args:
        auth_type: The plugin's name.
        group: The configuration's group that names it.

    Raises:
        ConfigError: There is no such plugin.
    """
    options = _loader(auth_type, group).get_options()
    return frozenset(name for option in options for name in _names(option)) | _TLS


def auth_secret_names(auth_type: str, group: str) -> frozenset[str]:
    """Return those options whose values the plugin itself calls secret.

    Args:
        auth_type: The plugin's name.
        group: The configuration's group that names it.

    Raises:
        ConfigError: There is no such plugin.
    """
    secret = [each for each in _loader(auth_type, group).get_options() if each.secret]
    return frozenset(name for option in secret for name in _names(option))


def _of_plugin(config: GlanceConfig) -> tuple[Any, Where]:
    loader = _loader(config.auth_type, config.group)
    given = {
        option.dest: option.type(config.auth[name])
        for option in loader.get_options()
        for name in _names(option)
        if name in config.auth
    }
    session = loading.session.Session().load_from_options(
        auth=loader.load_from_options(**given),
        insecure=config.auth.get("insecure", "").lower() in _TRUE,
        cacert=config.auth.get("cafile"),
        cert=config.auth.get("certfile"),
        key=config.auth.get("keyfile"),
    )
    where = Where(config.endpoint, config.region, config.interface or "public")
    return session, where


def _loader(auth_type: str, group: str) -> Any:
    try:
        return loading.get_plugin_loader(auth_type)
    except ksa.NoMatchingPlugin as error:
        raise ConfigError(
            f"there is no keystoneauth plugin {auth_type}: set [{group}] auth_type to "
            f"one of {', '.join(sorted(loading.get_available_plugin_names()))}"
        ) from error


def _names(option: Any) -> set[str]:
    spellings = (option, *option.deprecated)
    return {spelling.name.replace("-", "_") for spelling in spellings} | {option.dest}


def _of_cloud(
    config: GlanceConfig, config_files: Sequence[str] | None
) -> tuple[Any, Where]:
    sdk, sdk_error = _openstack_config(config.group)
    files = list(config_files) if config_files else None
    wanted = {"region_name": config.region} if config.region else {}
    try:
        # openstacksdk 4.22 warns of its own metrics to InfluxDB, wanted or not.
        with warnings.catch_warnings(
            action="ignore", category=PendingDeprecationWarning
        ):
            cloud = sdk.OpenStackConfig(config_files=files)
            region = cloud.get_one(cloud=config.cloud or None, **wanted)
            session = region.get_session()
    except sdk_error as error:
        raise ConfigError(
            f"the OpenStack configuration of cloud {config.cloud or '(default)'} "
            f"cannot be used: {_one_line(error)}: set OS_CLOUD or OS_*, or correct "
            f"clouds.yaml"
        ) from error
    where = Where(
        config.endpoint or region.get_endpoint(_SERVICE) or "",
        region.get_region_name(_SERVICE) or "",
        config.interface or region.get_interface(_SERVICE) or "public",
    )
    return session, where


def _openstack_config(group: str) -> tuple[Any, type[Exception]]:
    try:
        # Takes a second, and it comes with the extra `cli` only.
        from openstack import config, exceptions  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "OS_* variables and clouds.yaml need openstacksdk, which is not installed: "
            f"pip install 'cowpath[cli]', or set [{group}] auth_type and its options"
        ) from error
    return config, exceptions.SDKException


_MEANING: tuple[tuple[type[Exception], type[CowpathError], str], ...] = (
    (
        ksa.Unauthorized,
        CredentialsError,
        "our credentials were refused ({}): check OS_*, OS_CLOUD or [{group}]",
    ),
    (
        ksa.Forbidden,
        CredentialsError,
        "we may not log in ({}): check OS_*, OS_CLOUD or [{group}]",
    ),
    (
        ksa.CatalogException,
        ConfigError,
        (
            "the service catalogue has no such image endpoint ({}): set the region and "
            "interface, or image_endpoint_override"
        ),
    ),
    (
        ksa.AuthPluginException,
        ConfigError,
        (
            "the credentials are incomplete ({}): set OS_CLOUD or OS_*, or correct "
            "clouds.yaml or [{group}]"
        ),
    ),
    (
        ksa.MissingAuthMethods,
        ConfigError,
        "this login needs more than we have ({}): use other credentials",
    ),
    (
        ksa.SSLError,
        UnavailableError,
        "TLS failed ({}): check the clock, and cacert (OS_CACERT) for a private CA",
    ),
    (
        ksa.DiscoveryFailure,
        UnavailableError,
        "Keystone was not found ({}): check auth_url, or try again",
    ),
    (
        ksa.ConnectionError,
        UnavailableError,
        "there was no answer ({}): check the endpoint and that the service runs",
    ),
    (ksa.ClientException, UnavailableError, "logging in failed ({}): try again"),
    (requests.RequestException, UnavailableError, "the request failed ({})"),
)


@contextmanager
def _translated(whom: str, group: str) -> Iterator[None]:
    """Turn every exception of these libraries into one of ours, once."""
    try:
        yield
    except (ksa.ClientException, requests.RequestException, UnicodeError) as error:
        if _is_of_header(error):
            # The libraries quote the header's value, which is the token.
            raise ConfigError(
                f"{whom}: the token cannot be sent: it begins with a blank, or holds "
                f"a line break or another character that no token has: set it again "
                f"(OS_TOKEN, or token in clouds.yaml or [{group}])"
            ) from None
        for theirs, ours, meaning in _MEANING:
            if isinstance(error, theirs):
                text = meaning.format(_one_line(error), group=group)
                raise ours(f"{whom}: {text}") from error
        raise


def _is_of_header(error: BaseException | None) -> bool:
    """Tell whether a header could not be sent; keystoneauth wraps requests' word."""
    if error is None:
        return False
    kinds = (requests.exceptions.InvalidHeader, UnicodeEncodeError)
    return isinstance(error, kinds) or _is_of_header(error.__context__)


def _root(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(
            f"{_without_user(url)!r} is no image endpoint: it must be a URL such as "
            f"http://glance.example:9292 (image_endpoint_override, or the catalogue)"
        )
    return _VERSION_PATH.sub("", url.rstrip("/"))


def _body(content: bytes) -> object:
    if not content:
        return None
    try:
        return jsonlib.loads(content)
    except (ValueError, RecursionError):
        return content[:_LONGEST_TEXT].decode(errors="replace")


def _date(header: str | None) -> float | None:
    try:
        when = parsedate_to_datetime(header or "")
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return when.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _one_line(error: Exception) -> str:
    return _without_user(" ".join(str(error).split()))[:500]


def _without_user(text: str) -> str:
    return _USER_IN_URL.sub("", text)


def _our_version() -> str:
    try:
        return version("cowpath")
    except PackageNotFoundError:
        return "unknown"
