"""Ctrl-C while Glance copies: the copy goes on, and the next command has it."""

import signal

import pytest

from tests.lab.bench import EDGE, Bench, follow, noise

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("verb", ["disk", "place"])
def test_ctrl_c_leaves_the_copy_to_glance(bench: Bench, verb: str) -> None:
    image, name = bench.upload(noise(64)), bench.name()
    words = {
        "disk": ("disk", "create", image, name),
        "place": ("image", "place", image),
    }
    try:
        with bench.start(*words[verb]) as following:
            assert following.stdout
            assert following.stderr
            follow(following.stderr, "asked Glance")
            # The copy stands still from here on, whatever we do.
            bench.service("glance", "pause")
            following.send_signal(signal.SIGINT)
            said, out = following.stderr.read(), following.stdout.read()
        assert following.returncode == 130
        assert out == ""
        assert "Glance goes on copying image" in said
        assert f"to store {EDGE}: the same command joins that copy" in said
        assert "Traceback" not in said
        assert not (bench.disks() / f"{name}.qcow2").exists()
    finally:
        bench.service("glance", "resume")
    ran = bench.run(*words[verb])
    assert ran.code == 0, ran
    assert bench.copies(image) == 1
    assert bench.stores(image) == {"central", EDGE}


def test_ctrl_c_on_a_console_leaves_the_guest(bench: Bench) -> None:
    """Whoever watches a guest may stop watching it."""
    name = bench.name()
    # It boots into nothing, and so it stays.
    image = bench.upload(noise(1), store=EDGE)
    words = ("boot", image, "--name", name, "--memory", "64M", "--console")
    with bench.start(*words) as watching:
        assert watching.stderr
        follow(watching.stderr, f"guest {name} runs")
        watching.send_signal(signal.SIGINT)
        said = watching.stderr.read()
    assert watching.returncode == 130
    assert "Traceback" not in said
    assert "running" in bench.virsh("domstate", name)
    ran = bench.run("disk", "delete", name)
    assert ran.code == 5
    assert "in use" in ran.err
    bench.virsh("destroy", name)
