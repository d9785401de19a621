"""A Glance with a database and file stores, and no server, as its flow finds it."""

from dataclasses import dataclass
from hashlib import sha512
from pathlib import Path
from typing import Any
from uuid import uuid4

import glance.db
import glance_store
from glance import context, gateway
from glance.api.v2 import images as _images  # noqa: F401  # registers what it reads
from glance.common import crypt, wsgi_app
from glance.db.sqlalchemy import models
from oslo_config import cfg

from cowpath.doors.glance import flow
from cowpath.doors.glance.ledger import IMPORTING, LOCK, Ledger, properties

CONF = cfg.CONF
CONTENT = b"an image's bytes " * 4096
STORES = ("central", "edge1", "edge2")


@dataclass(frozen=True, slots=True)
class World:
    """What a test needs of Glance."""

    folder: Path
    db: Any
    tasks: Any
    images: Any
    context: Any

    def image(self, **facts: Any) -> str:
        """Make an image in store `central`; return its id."""
        made = str(uuid4())
        path = self.folder / "central" / made
        path.write_bytes(CONTENT)
        key, url = CONF.metadata_encryption_key, f"file://{path}"
        kept = crypt.urlsafe_encrypt(key, url) if key else url
        location = {"url": kept, "metadata": {"store": "central"}}
        told = {
            "id": made,
            "status": "active",
            "owner": "somebody",
            "size": len(CONTENT),
            "disk_format": "raw",
            "container_format": "bare",
            "os_hash_algo": "sha512",
            "os_hash_value": sha512(CONTENT).hexdigest(),
            "locations": [{**location, "status": "active"}],
            **facts,
        }
        self.db.image_create(self.context, told)
        return made

    def task(self, image: str, status: str = "processing") -> str:
        """Make a task that has the image's import lock; return its id."""
        made = str(uuid4())
        told = {"id": made, "type": "api_image_import", "status": status}
        who = {"owner": "somebody", "image_id": image, "user_id": "me"}
        self.db.task_create(self.context, {**told, **who, "input": {}})
        self.db.image_set_property_atomic(image, LOCK, made)
        return made

    def flow(self, image: str, task: str, *stores: str, must: bool = True) -> Any:
        """Return the flow that Glance would run."""
        return flow.replacing(_refuse)(
            task_id=task,
            task_type="api_image_import",
            context=self.context,
            task_repo=self.tasks,
            image_repo=self.images,
            admin_repo=self.images,
            image_id=image,
            backend=list(stores),
            import_req={
                "method": {"name": "copy-image"},
                "all_stores_must_succeed": must,
            },
        )

    def run(self, made: Any) -> None:
        """Run each task of a flow, as Glance's engine does."""
        for each, _ in made.iter_nodes():
            each.execute()

    def ledger(self, image: str, task: str) -> Ledger:
        """Return what the door knows of an image by."""
        return Ledger(image, task)

    def stores(self, image: str) -> set[str]:
        """Return the stores that Glance lists an image in."""
        row = self.db.image_get(self.context, image)
        return {each["metadata"]["store"] for each in row["locations"]}

    def properties(self, image: str) -> dict[str, str]:
        """Return an image's properties."""
        return properties(self.db.image_get(self.context, image))

    def importing(self, image: str) -> str:
        """Return where Glance says that an image is being copied to."""
        return self.properties(image).get(IMPORTING, "")


def _refuse(**_told: Any) -> Any:
    raise LookupError("Glance's own flow was asked for")


def made(folder: Path) -> World:
    """Make one in an empty folder."""
    CONF([], project="glance", default_config_files=[])
    CONF.set_override(
        "connection", f"sqlite:///{folder}/glance.sqlite", group="database"
    )
    CONF.set_override("enabled_backends", dict.fromkeys(STORES, "file"))
    reserved = wsgi_app.RESERVED_STORES
    glance_store.register_store_opts(CONF, reserved_stores=reserved)
    CONF.set_override("default_backend", "central", group="glance_store")
    for name in (*STORES, *reserved):
        (folder / name).mkdir()
        CONF.set_override("filesystem_store_datadir", str(folder / name), group=name)
    glance_store.create_multi_stores(CONF, reserved_stores=reserved)
    glance.db.sqlalchemy.api.clear_db_env()
    models.register_models(glance.db.sqlalchemy.api.get_engine())
    admin = context.get_admin_context()
    gate = gateway.Gateway()
    return World(
        folder,
        glance.db.get_api(),
        gate.get_task_repo(admin),
        gate.get_repo(admin),
        admin,
    )
