"""Keystone, Placement: the two services that need nothing but a database."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from lab.files import write
from lab.glance_config import Sections
from lab.mariadb import MariaDb
from lab.port_block import PortBlock
from lab.venv import Venv
from lab.wsgi import Wsgi

ADMIN = "admin"
MEMBER = "demo"
DOMAIN = "default"
PASSWORD = "lab"  # noqa: S105 - of a cloud that only this machine reaches
REGION = "RegionOne"

_FERNET_KEY_BYTES = 32
_PRIVATE = 0o600


def login(auth_url: str) -> dict[str, str]:
    """Return how a service of the lab logs in, in any section that asks for it."""
    return {
        "auth_type": "password",
        **credentials(auth_url),
        "username": ADMIN,
        "project_name": ADMIN,
        "region_name": REGION,
    }


def credentials(auth_url: str) -> dict[str, str]:
    """Return what is the same for every user."""
    return {
        "auth_url": auth_url,
        "password": PASSWORD,
        "user_domain_id": DOMAIN,
        "project_domain_id": DOMAIN,
    }


def token_check(auth_url: str) -> dict[str, str]:
    """Return how a service finds out who is asking it."""
    return {
        "www_authenticate_uri": auth_url,
        **login(auth_url),
        "service_token_roles": "service",
        "service_token_roles_required": "true",
    }


class Keystone(Wsgi):
    """Who is who, and who is where."""

    application = "keystone.wsgi.api:application"

    def __init__(
        self, home: Path, ports: PortBlock, venv: Venv, database: MariaDb
    ) -> None:
        super().__init__("keystone", home, ports, venv)
        self._database = database

    @property
    def auth_url(self) -> str:
        """Where clients log in."""
        return f"{self.url}/v3"

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.home / "etc/keystone.conf"

    def prepare(self) -> None:
        """Write its keys; wait for the database."""
        self._venv.ensure()
        self.write_keys()
        self._database.wait()

    def write_keys(self) -> None:
        """Make the keys of its tokens where there are none."""
        for repository in ("fernet-keys", "credential-keys"):
            # 0 is the key to come, the highest number the one in use.
            for number in ("0", "1"):
                path = self.home / repository / number
                if not path.exists():
                    key = base64.urlsafe_b64encode(os.urandom(_FERNET_KEY_BYTES))
                    write(path, key.decode(), mode=_PRIVATE)

    def sections(self) -> Sections:
        """Return its configuration."""
        return {
            "DEFAULT": {"log_file": str(self.log), "use_stderr": "false"},
            "database": {"connection": self._database.url("keystone")},
            "token": {"provider": "fernet"},
            "fernet_tokens": {"key_repository": str(self.home / "fernet-keys")},
            "fernet_receipts": {"key_repository": str(self.home / "fernet-keys")},
            "credential": {"key_repository": str(self.home / "credential-keys")},
            "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
            # Hashing a password takes a quarter of a second of a processor otherwise,
            # and every command logs in.
            "identity": {"password_hash_rounds": "4"},
        }

    @property
    def variables(self) -> Mapping[str, str]:
        """Where its configuration lies."""
        return {"OS_KEYSTONE_CONFIG_DIR": str(self.conf.parent)}


class Placement(Wsgi):
    """Who has how much left."""

    application = "placement.wsgi.api:application"

    def __init__(
        self, home: Path, ports: PortBlock, venv: Venv, database: MariaDb
    ) -> None:
        super().__init__("placement", home, ports, venv)
        self._database = database

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.home / "etc/placement.conf"

    def prepare(self) -> None:
        """Wait for the database."""
        self._venv.ensure()
        self._database.wait()

    def sections(self) -> Sections:
        """Return its configuration."""
        return {
            "DEFAULT": {"log_file": str(self.log), "use_stderr": "false"},
            "placement_database": {"connection": self._database.url("placement")},
            "api": {"auth_strategy": "keystone"},
            "keystone_authtoken": token_check(self._ports.url("keystone", "/v3")),
        }

    @property
    def variables(self) -> Mapping[str, str]:
        """Where its configuration lies."""
        return {"OS_PLACEMENT_CONFIG_DIR": str(self.conf.parent)}
