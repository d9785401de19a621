"""Placing an image: one store or several, each with its own result."""

from typing import Any

import pytest

from tests.doors.desk import IMAGE, Cowpath, Desk

_BOTH = ("--store", "edge2", "--store", "edge1")


def test_placing_elsewhere(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE, stores="central,edge2")
    told = cowpath("image", "place", IMAGE, "--store", "edge2", "--no-wait", "--json")
    assert told.document["answers"] == {"edge2": "present"}
    told = cowpath("image", "place", IMAGE, "--store", "edge2")
    assert told.out == f"{IMAGE} is in edge2\n"
    assert desk.glance.copies == []
    told = cowpath("image", "place", IMAGE, "--no-wait", "--json")
    assert told.document["answers"] == {"edge1": "accepted"}
    assert desk.glance.copies == [f"POST /v2/images/{IMAGE}/import"]
    desk.glance.accepts = (409, {"message": "an import is still in progress"})
    told = cowpath("image", "place", IMAGE, "--no-wait", "--json")
    assert told.code == 18
    assert told.document["error"]["class"] == "CopyBusyError"


def test_each_store_has_its_own_result(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE, stores="central,edge2")
    desk.glance.accepts = (403, {"message": "not authorized"})
    both = ["--store", "edge2", "--store", "edge1"]
    told = cowpath("image", "place", IMAGE, *both, "--json")
    assert told.code == 6
    assert told.document["placed"]["edge2"]["where"] == "store edge2"
    assert told.document["failed"]["edge1"]["class"] == "ForbiddenError"
    told = cowpath("image", "place", IMAGE, *both)
    assert told.out == f"{IMAGE} is in edge2\n"
    assert "edge1" in told.err


def test_several_stores_are_one_request(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    told = cowpath("image", "place", IMAGE, *_BOTH, "--json")
    assert told.code == 0, told
    assert [*told.document["placed"]] == ["edge2", "edge1"]
    assert told.document["placed"]["edge1"]["image"] == IMAGE
    assert told.document["failed"] == {}
    (wanted,) = desk.glance.wanted
    assert sorted(wanted["stores"]) == ["edge1", "edge2"]
    assert wanted["all_stores_must_succeed"] is False


def test_a_store_that_fails_does_not_keep_the_others(
    desk: Desk, cowpath: Cowpath
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive("edge2")
    told = cowpath("image", "place", IMAGE, *_BOTH)
    assert told.code == 7
    assert told.out == f"{IMAGE} is in edge1\n"
    (error,) = [line for line in told.err.splitlines() if line.startswith("Error")]
    assert error.startswith("Error: edge2: Glance failed to copy")
    assert len(desk.glance.copies) == 1


def test_the_exit_code_is_that_of_the_first_store_that_failed(
    desk: Desk, cowpath: Cowpath
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive("edge2")
    unknown_last = cowpath("image", "place", IMAGE, *_BOTH, "--store", "edge9")
    assert unknown_last.code == 7
    desk.glance.add(IMAGE)
    (desk.images / IMAGE).unlink()
    unknown_first = cowpath("image", "place", IMAGE, "--store", "edge9", *_BOTH)
    assert unknown_first.code == 3
    assert unknown_first.out == f"{IMAGE} is in edge1\n"


def test_where_all_fail_there_is_no_result(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive("edge1", "edge2")
    told = cowpath("image", "place", IMAGE, *_BOTH)
    assert (told.code, told.out) == (7, "")
    told = cowpath("image", "place", IMAGE, "--store", "no1", "--store", "no2")
    assert (told.code, told.out) == (3, "")


@pytest.mark.parametrize("flags", [[], ["--no-wait"]])
def test_the_same_store_twice_counts_once(
    desk: Desk, cowpath: Cowpath, flags: list[str]
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    told = cowpath("image", "place", IMAGE, *_BOTH, *_BOTH, *flags)
    assert told.code == 0, told
    assert len(told.out.splitlines()) == 2
    assert sorted(desk.glance.wanted[0]["stores"]) == ["edge1", "edge2"]
    one = cowpath("image", "place", IMAGE, "--store", "central", "--store", "central")
    assert (one.code, one.out) == (0, f"{IMAGE} is in central\n")
    assert len(desk.glance.copies) == 1


def test_asking_for_several_without_waiting(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE, stores="central,edge2")
    told = cowpath("image", "place", IMAGE, *_BOTH, "--no-wait", "--json")
    assert told.code == 0
    assert told.document["answers"] == {"edge2": "present", "edge1": "accepted"}
    told = cowpath("image", "place", IMAGE, *_BOTH, "--no-wait")
    assert told.out.splitlines() == [
        "edge2: it is there already",
        "edge1: Glance accepted the copy and makes it in the background",
    ]
    assert [wanted["stores"] for wanted in desk.glance.wanted] == [["edge1"]] * 2


def test_a_refusal_of_the_one_request_is_the_error(
    desk: Desk, cowpath: Cowpath
) -> None:
    desk.glance.add(IMAGE)
    desk.glance.accepts = (403, {"message": "not authorized"})
    told = cowpath("image", "place", IMAGE, *_BOTH, "--no-wait", "--json")
    assert told.code == 6
    assert told.document["error"]["class"] == "ForbiddenError"
    assert len(desk.glance.copies) == 1


def test_an_unknown_image_is_the_error_of_them_all(cowpath: Cowpath) -> None:
    told = cowpath("image", "place", "nobody's", *_BOTH, "--json")
    assert told.code == 3
    assert told.document["error"]["class"] == "NotFoundError"


def test_a_stuck_flag_is_no_copy(desk: Desk, cowpath: Cowpath) -> None:
    image: dict[str, Any] = desk.glance.add(
        IMAGE, os_glance_importing_to_stores="edge2"
    )
    told = cowpath("image", "show", IMAGE)
    assert "stuck flag" in told.out
    assert "being copied to edge2, but no import runs" in told.out
    assert cowpath("image", "show", IMAGE, "--json").document["stuck"] == ["edge2"]
    image["os_glance_import_task"] = "task-1"
    told = cowpath("image", "show", IMAGE)
    assert "stuck" not in told.out
    assert "being copied to" in told.out
    assert cowpath("image", "show", IMAGE, "--json").document["stuck"] == []


def test_what_a_broken_copy_left_is_shown_with_its_cure(
    desk: Desk, cowpath: Cowpath
) -> None:
    image = desk.glance.add(IMAGE)
    desk.place(content=bytes(2**19))
    told = cowpath("image", "show", IMAGE, "--json").document["here"]["leftover"]
    assert told.keys() == {"where", "present", "cure"}
    assert told["where"] == str(desk.images / IMAGE)
    assert told["cure"]
    shown = " ".join(cowpath("image", "show", IMAGE).out.split())
    assert f"leftover {told['where']}, " in shown
    assert "blocks every copy to edge1" in shown
    assert " ".join(told["cure"].split()) in shown
    assert "leftover, " in cowpath("image", "list").out
    # A copy that runs is no leftover.
    image["os_glance_import_task"] = "task-1"
    image["os_glance_importing_to_stores"] = "edge1"
    assert "leftover" not in cowpath("image", "show", IMAGE).out
    document = cowpath("image", "show", IMAGE, "--json").document
    assert document["here"]["leftover"] is None
