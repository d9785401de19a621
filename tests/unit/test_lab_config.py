import configparser
import json
from pathlib import Path

import pytest

from lab import files_lab, glance_config, manifest
from lab.errors import LabError
from lab.files import ini
from lab.glance_site import lab_auth
from lab.glance_stores import FileStores
from lab.layout import SITES, Layout

LAYOUT = Layout(Path("/srv/lab/run"), "files")
URL = "http://127.0.0.1:19292"
BACKENDS = FileStores(LAYOUT).backends


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_every_site_is_a_store_with_a_folder_of_its_own() -> None:
    conf = parsed(ini(glance_config.standard(LAYOUT, URL, BACKENDS)))
    backends = conf["DEFAULT"]["enabled_backends"].split(",")
    assert backends == [f"{site}:file" for site in SITES]
    folders = {conf[site]["filesystem_store_datadir"] for site in SITES}
    assert folders == {str(LAYOUT.store(site)) for site in SITES}
    assert conf["glance_store"]["default_backend"] == "central"


def test_glance_survives_a_stop_and_imports_to_raw() -> None:
    conf = parsed(ini(glance_config.standard(LAYOUT, URL, BACKENDS)))
    assert conf["taskflow_executor"]["engine_mode"] == "serial"
    assert conf["oslo_concurrency"]["lock_path"].startswith("/srv/lab/run/files/")
    assert conf["image_conversion"]["output_format"] == "raw"


def test_settings_go_over_the_standard_and_leave_it_alone() -> None:
    sections = glance_config.standard(LAYOUT, URL, BACKENDS)
    changed = glance_config.override(
        sections, ["DEFAULT.enabled_import_methods=[glance-direct]", "new.key=a=b"]
    )
    assert changed["DEFAULT"]["enabled_import_methods"] == "[glance-direct]"
    assert changed["new"] == {"key": "a=b"}
    assert sections == glance_config.standard(LAYOUT, URL, BACKENDS)


@pytest.mark.parametrize("setting", ["", "a", "a.b", "a=b", ".b=c", "a.=c"])
def test_a_setting_of_another_form_is_refused(setting: str) -> None:
    with pytest.raises(LabError, match=r"SECTION\.KEY=VALUE"):
        glance_config.override({}, [setting])


def test_gunicorn_listens_on_the_loopback_address_and_stays_in_the_lab() -> None:
    settings: dict[str, object] = {}
    exec(glance_config.gunicorn(LAYOUT.glance, 19300), settings)  # noqa: S102
    assert settings["bind"] == "127.0.0.1:19300"
    assert settings["control_socket_disable"] is True
    assert settings["proc_name"] == f"{LAYOUT.glance}/"


def test_a_site_has_nova_s_names_and_the_file_store() -> None:
    conf = parsed(files_lab.site_conf(LAYOUT, "edge1", "qemu:///session?socket=/s"))
    assert conf["libvirt"]["images_rbd_glance_store_name"] == "edge1"
    assert conf["libvirt"]["connection_uri"] == "qemu:///session?socket=/s"
    assert conf["cowpath"]["store_kind"] == "file"
    assert conf["cowpath"]["images_dir"] == str(LAYOUT.store("edge1"))
    assert conf["cowpath"]["disks_dir"] == str(LAYOUT.disks("edge1"))


def test_clouds_point_at_glance_s_root() -> None:
    clouds = json.loads(manifest.clouds_yaml(URL))["clouds"]
    assert set(clouds) == {"lab-admin", "lab-member"}
    for cloud in clouds.values():
        assert cloud["auth_type"] == "admin_token"
        assert cloud["auth"]["endpoint"] == URL
        assert cloud["image_endpoint_override"] == URL


def test_the_manifest_is_complete_and_written_with_private_credentials(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path, "files")
    manifest.publish(
        layout,
        url=URL,
        sites=dict.fromkeys(SITES, "[cowpath]\n"),
        facts={"glance": {"url": URL}, "guest": {"uuid": "u"}},
    )
    facts = json.loads(layout.manifest.read_text())
    assert facts["kind"] == "files"
    assert facts["glance"] == {"url": URL}
    assert list(facts["sites"]) == ["central", "edge1", "edge2", "edge10"]
    assert all(conf.startswith(str(tmp_path)) for conf in facts["sites"].values())
    assert all(Path(conf).is_file() for conf in facts["sites"].values())
    assert layout.clouds_yaml.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("token", ["", "expired", "a:b", "a:b:", "::", "a:b:c:d"])
def test_a_token_that_says_nobody_is_refused(token: str) -> None:
    answers: list[str] = []

    def never(_environ: object, _start: object) -> list[bytes]:
        raise AssertionError

    body = lab_auth.TokenAuth(never)(
        {"HTTP_X_AUTH_TOKEN": token}, lambda status, _headers: answers.append(status)
    )
    assert answers == ["401 Unauthorized"]
    assert b"".join(body)


def test_a_token_is_the_identity_and_headers_of_the_client_are_not() -> None:
    passed: list[dict[str, object]] = []

    def glance(environ: dict[str, object], _start: object) -> list[bytes]:
        passed.append(environ)
        return []

    forged = {"HTTP_X_ROLES": "admin", "HTTP_X_IDENTITY_STATUS": "Confirmed"}
    auth = lab_auth.TokenAuth(glance)
    auth({"HTTP_X_AUTH_TOKEN": "alice:acme:member,reader", **forged}, print)
    auth(dict(forged), print)
    known, unknown = passed
    assert known["HTTP_X_USER_ID"] == "alice"
    assert known["HTTP_X_PROJECT_ID"] == "acme"
    assert known["HTTP_X_ROLES"] == "member,reader"
    assert unknown == {}
