"""Results on stdout, everything else on stderr; no secret in either."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doors.canned import TOKEN
from tests.doors.desk import IMAGE, Cowpath, Desk

_SECRET = "pa55word-of-the-tests"  # noqa: S105  # only to be looked for


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_copy_is_told_in_lines_and_the_result_is_alone(
    desk: Desk, cowpath: Cowpath, flags: list[str]
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    ran = cowpath("disk", "create", "debian", "vm1", "--size", "2M", *flags)
    assert ran.code == 0, ran
    asked, *progress, copied, base, disk = ran.err.splitlines()
    assert asked == "image debian is not in edge1: asked Glance to copy it from central"
    assert progress[0] == "edge1: arriving: 512.0 KiB of 1.0 MiB (0 s)"
    assert copied.startswith("copied to edge1 in ")
    assert base.startswith(f"base: image {IMAGE} is here now")
    assert disk.startswith("disk vm1: 2.0 MiB, clone of")
    assert "\x1b" not in ran.err + ran.out
    if flags:
        assert ran.document["size"] == 2 * 2**20
        assert ran.document["source"]["backing"] == str(desk.disks / "bases" / IMAGE)
    else:
        assert ran.out.startswith("name")
    assert len(desk.glance.copies) == 1


def test_a_disk_from_birth_to_death(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE, stores="central,edge1")
    desk.place()
    made = cowpath("disk", "create", IMAGE, "vm1", "--json").document
    assert (made["name"], made["image"]) == ("vm1", IMAGE)
    assert made["made_by_cowpath"]
    assert desk.glance.asked == [f"GET /v2/images/{IMAGE}"]
    described = cowpath("disk", "show", "vm1", "--xml").out
    assert described == made["xml"] + "\n"
    assert cowpath("disk", "show", "vm1", "--json").document == made
    grown = cowpath("disk", "grow", "vm1", "3M", "--json").document
    assert grown["size"] == 3 * 2**20
    listed = cowpath("disk", "list", "vm", "--json").document
    assert [disk["name"] for disk in listed["disks"]] == ["vm1"]
    assert "vm1" in cowpath("disk", "list").out
    assert cowpath("disk", "list", "other", "--json").document["disks"] == []
    assert cowpath("disk", "grow", "vm1", "1M").code == 2
    gone = cowpath("disk", "delete", "vm1", "--json").document
    assert gone["deleted"]["name"] == "vm1"
    assert cowpath("disk", "delete", "vm1", "--yes").code == 3
    assert list(desk.disks.glob("*.qcow2")) == []
    # Disks need no Glance.
    assert len(desk.glance.asked) == 1


def test_the_configuration_and_where_it_came_from(desk: Desk, cowpath: Cowpath) -> None:
    told = cowpath("config", "--json").document
    assert told["files"] == [str(desk.conf)]
    found = {each["name"]: each for each in told["settings"]}
    assert found["disks_dir"]["value"] == str(desk.disks)
    assert found["disks_dir"]["origin"] == str(desk.conf)
    assert found["copy_grace"]["origin"] == "default"
    assert found["token"]["value"] == "****"
    assert f"images_dir = {desk.images}" in cowpath("config").out


def test_a_file_named_by_the_environment(
    desk: Desk, cowpath: Cowpath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWPATH_CONFIG_FILE", str(desk.conf))
    assert cowpath.bare("config", "--json").document["files"] == [str(desk.conf)]
    other = desk.conf.with_name("other.conf")
    other.write_text("[libvirt]\nimages_rbd_glance_store_name = edge2\n")
    ran = cowpath("--config-file", str(other), "disk", "list", "--json")
    assert ran.document["store"] == "edge2"


@pytest.mark.parametrize("text", ["[cowpath\n", "no section = 1\n", "\x00"])
def test_a_broken_file(desk: Desk, cowpath: Cowpath, text: str) -> None:
    desk.conf.write_text(text)
    ran = cowpath("disk", "list")
    assert (ran.code, ran.out) == (10, "")
    assert str(desk.conf) in ran.err
    assert "Traceback" not in ran.err


def test_no_configuration_at_all(desk: Desk, cowpath: Cowpath) -> None:
    ran = cowpath.bare("--config-file", str(desk.disks / "none.conf"), "disk", "list")
    assert ran.code == 10
    assert "none.conf" in ran.err


def test_the_memory_store(desk: Desk, cowpath: Cowpath) -> None:
    desk.write_conf(store_kind="memory")
    assert cowpath("disk", "list", "--json").document == {"store": "edge1", "disks": []}
    assert cowpath("disk", "show", "vm1").code == 3


@pytest.mark.parametrize("verb", [["image", "list"], ["image", "show", IMAGE]])
def test_verbose_shows_requests_and_no_token(desk: Desk, verb: list[str]) -> None:
    desk.glance.add(IMAGE)
    for cloud in ([], ["--os-cloud", "canned"]):
        if cloud:
            desk.write_conf(auth_type="", token="", endpoint="")
        ran = desk.spawn(*cloud, "-v", *verb, "--json")
        assert ran.code == 0, ran
        assert f"GET {desk.glance.url}/v2/images" in ran.err
        assert TOKEN not in ran.out + ran.err
        assert ran.document


def test_verbose_errors_show_no_password(desk: Desk) -> None:
    desk.glance.fixed["POST /v3/auth/tokens"] = (401, {"error": {"message": "no"}})
    desk.write_conf(
        auth_type="v3password",
        token="",
        endpoint="",
        auth_url=f"{desk.glance.url}/v3",
        username="operator",
        password=_SECRET,
        user_domain_name="Default",
        project_name="p",
        project_domain_name="Default",
    )
    for verb in (["image", "list"], ["config"]):
        ran = desk.spawn("-v", *verb)
        assert _SECRET not in ran.out + ran.err
        assert ran.code == (0 if verb == ["config"] else 14), ran
    assert "password = ****" in desk.spawn("config").out


def test_verbose_errors_show_no_token(desk: Desk) -> None:
    desk.write_conf(token=_SECRET)
    ran = desk.spawn("-v", "image", "list", "--json")
    assert ran.code == 14
    assert ran.document["error"]["class"] == "CredentialsError"
    assert "Traceback" in ran.err  # asked for by -v
    assert _SECRET not in ran.out + ran.err


@pytest.mark.parametrize("verb", [["config"], ["disk", "list", "--json"], ["--help"]])
def test_a_reader_that_went_away(desk: Desk, verb: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        desk.argv(*verb),
        env=desk.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert ran.stderr == b""
    assert ran.returncode == 1


@contextmanager
def _following(desk: Desk, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command whose copy never ends; give it once it follows the copy."""
    desk.glance.add(IMAGE)
    desk.hold_copies()
    with subprocess.Popen(
        desk.argv(*words),
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr
        for line in running.stderr:
            if "staging" in line:
                break
        yield running
        running.kill()


def _interrupt(running: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C; return what it wrote after that, stdout first."""
    assert running.stdout
    assert running.stderr
    running.send_signal(signal.SIGINT)
    # Not communicate(): it would miss what the stream has read ahead.
    err, out = running.stderr.read(), running.stdout.read()
    running.wait(30)
    return out, err


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_ctrl_c_says_what_goes_on(desk: Desk, flags: list[str]) -> None:
    with _following(desk, "disk", "create", IMAGE, "vm1", *flags) as running:
        out, err = _interrupt(running)
    assert running.returncode == 130
    assert "Glance goes on copying image debian to store edge1" in err
    assert "the same command joins that copy" in err
    assert "Traceback" not in err
    if flags:
        assert json.loads(out)["error"]["exit_code"] == 130
    else:
        assert out == ""
    assert list(Path(desk.disks).glob("*.qcow2")) == []


def test_the_next_command_joins_what_ctrl_c_left(desk: Desk) -> None:
    with _following(desk, "disk", "create", IMAGE, "vm1") as running:
        _interrupt(running)
    image = desk.glance.images[IMAGE]

    def done() -> None:
        desk.place()
        del image["os_glance_import_task"], image["os_glance_importing_to_stores"]
        image["stores"] += ",edge1"

    desk.glance.looks.extend([lambda: None, done])
    ran = desk.spawn("disk", "create", IMAGE, "vm1")
    assert ran.code == 0, ran
    assert "is being copied to edge1 already: following that copy" in ran.err
    assert len(desk.glance.copies) == 1
