"""What of Glance we replace or call, and whether this Glance has it."""

import inspect
from dataclasses import dataclass
from importlib import import_module

from glance import version

KNOWN = (31, 32, 33)
"""The major releases of Glance that our tests run against."""


@dataclass(frozen=True, slots=True)
class Seam:
    """A function or class of Glance's that we replace or call.

    Attributes:
        module: Where it is.
        name: Its dotted name there.
        takes: Parameters that it must have, in this order, among others.
        anything: It must take any other parameter by name.
    """

    module: str
    name: str
    takes: tuple[str, ...] = ()
    anything: bool = False


_IMPORT = "glance.async_.flows.api_image_import"
_DB = "glance.db.sqlalchemy.api"
_QUOTA = "glance.quota.keystone"

SEAMS = (
    Seam(_IMPORT, "get_flow", anything=True),
    Seam(_DB, "image_get", ("context", "image_id", "force_show_deleted")),
    Seam(
        _DB,
        "image_update",
        ("context", "image_id", "values", "purge_props", "from_state"),
    ),
    Seam(_DB, "image_location_add", ("context", "image_id", "location")),
    Seam(
        _DB, "image_location_delete", ("context", "image_id", "location_id", "status")
    ),
    Seam(_DB, "image_delete_property_atomic", ("image_id", "name", "value")),
    Seam(_DB, "image_property_delete", ("context", "prop_ref", "image_ref")),
    Seam(_DB, "task_get", ("context", "task_id")),
    Seam(_DB, "task_update", ("context", "task_id", "values")),
    Seam("glance.db", "get_api"),
    Seam("glance.context", "get_admin_context"),
    Seam("glance.db", "TaskRepo.add", ("self", "task")),
    Seam("glance.db", "ImageRepo", ("context", "db_api")),
    Seam("glance.notifier", "Notifier"),
    Seam("glance.notifier", "ImageRepoProxy", ("repo", "context", "notifier")),
    Seam(
        "glance.notifier",
        "ImageRepoProxy.send_notification",
        ("self", "notification_id", "obj", "extra_payload", "backend"),
    ),
    Seam("glance.gateway", "Gateway.get_task_repo", ("self", "context")),
    Seam("glance.common.crypt", "urlsafe_encrypt", ("key", "plaintext")),
    Seam("glance.common.crypt", "urlsafe_decrypt", ("key", "ciphertext")),
    Seam(_QUOTA, "enforce_image_staging_total", ("context", "project_id", "delta")),
    Seam(_QUOTA, "enforce_image_count_uploading", ("context", "project_id")),
    Seam("glance_store", "delete", ("uri", "backend")),
    Seam("glance.api.common", "get_thread_pool", ("lock_name",)),
)


def unknown(seams: tuple[Seam, ...] = SEAMS) -> list[str]:
    """Return in what this Glance is not one that we know, in words."""
    release = version.version_string()
    known = ", ".join(map(str, KNOWN))
    told = [f"it is release {release}, and those that Cowpath knows are {known}"]
    major = release.partition(".")[0]
    news = [] if major in map(str, KNOWN) else told
    return news + [said for said in map(_lack, seams) if said]


def _lack(seam: Seam) -> str:
    try:
        found: object = import_module(seam.module)
    except ImportError as error:
        return f"{seam.module} cannot be imported ({error})"
    for part in seam.name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        return f"{seam.module}.{seam.name} is not there"
    has = inspect.signature(found).parameters
    if [name for name in has if name in seam.takes] != list(seam.takes):
        return f"{seam.module}.{seam.name} does not take {', '.join(seam.takes)}"
    kinds = {each.kind for each in has.values()}
    if seam.anything and inspect.Parameter.VAR_KEYWORD not in kinds:
        return f"{seam.module}.{seam.name} does not take parameters of any name"
    return ""
