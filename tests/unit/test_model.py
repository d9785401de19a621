"""Sizes, names and references: what is taken, and what never reaches a path or URL."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core import model
from cowpath.core.errors import UsageError
from cowpath.core.model import Image, ImageId, Patience, StoreName

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "-x",
    "--help",
    ".hidden",
    "a b",
    "a\n",
    "a\0b",
    "a:b",
    "a@b",
    "a,b",
    "ä",
    "a\u202eb",
    "\N{FULLWIDTH DIGIT ONE}",
]


def refused(make: Callable[[str], object], text: str) -> str:
    """Return the words with which `make` refuses `text`, or nothing."""
    try:
        make(text)
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_no_disk_names_and_no_store_names(text: str) -> None:
    for make in (model.disk_name, model.store_name):
        with pytest.raises(UsageError, match="is not a"):
            make(text)


@given(st.text(max_size=300))
def test_what_is_taken_as_a_name_is_safe_in_a_path(text: str) -> None:
    for make in (model.disk_name, model.store_name):
        refusal = refused(make, text)
        if refusal:
            assert "\n" not in refusal
            assert len(refusal) < 1500
        else:
            assert make(text) == text
            assert text.isascii()
            assert not set(text) & set("/\0:,@ \n")
            assert text[0].isalnum()


@pytest.mark.parametrize("text", ["vm1", "a", "9", "Web-1_disk.0", "a" * 200])
def test_ordinary_disk_names_are_taken(text: str) -> None:
    assert model.disk_name(text) == text


def test_names_have_a_longest() -> None:
    with pytest.raises(UsageError):
        model.disk_name("a" * 201)
    with pytest.raises(UsageError):
        model.store_name("a" * 65)
    assert model.store_name("a" * 64)


@given(st.uuids())
def test_every_uuid_is_an_image_id(uuid: UUID) -> None:
    assert model.image_id(str(uuid)) == str(uuid)
    assert model.is_image_id(str(uuid))
    assert model.is_image_id(str(uuid).upper())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "debian",
        "6f2e1c0a00004000800000000000000a",
        "{6f2e1c0a-0000-4000-8000-00000000000a}",
        "6f2e1c0a-0000-4000-8000-00000000000a\n",
        "6f2e1c0a-0000-4000-8000-00000000000a/../x",
        "6f2e1c0a-0000-4000-8000-00000000000g",
        "٦f2e1c0a-0000-4000-8000-00000000000a",
    ],
)
def test_nothing_else_is_an_image_id(text: str) -> None:
    assert not model.is_image_id(text)
    with pytest.raises(UsageError, match="a UUID"):
        model.image_id(text)


@pytest.mark.parametrize(
    "text", ["debian", "Debian 13 (amd64)", "a/b?c=d&e", "ünïcode 世界", "x" * 255]
)
def test_any_readable_text_is_an_image_s_name(text: str) -> None:
    assert model.image_ref(text) == text


@pytest.mark.parametrize("text", ["", "x" * 256, "a\nb", "a\0", "\x1b[31m", "\udc80"])
def test_what_glance_cannot_have_is_not_asked_for(text: str) -> None:
    with pytest.raises(UsageError, match="is not an image") as caught:
        model.image_ref(text)
    assert str(caught.value).isprintable()


@given(st.text(max_size=300))
def test_a_reference_is_taken_as_it_is_or_refused(text: str) -> None:
    refusal = refused(model.image_ref, text)
    assert refusal.encode() or model.image_ref(text) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("1073741824", 2**30),
        ("1048576B", 2**20),
        ("1K", 2**10),
        ("512M", 2**29),
        ("20G", 20 * 2**30),
        ("20g", 20 * 2**30),
        ("20GB", 20 * 2**30),
        ("20GiB", 20 * 2**30),
        (" 20G ", 20 * 2**30),
        ("2T", 2**41),
        ("1P", 2**50),
        (str(2**62), 2**62),
    ],
)
def test_sizes_are_read_with_units_of_1024(text: str, size: int) -> None:
    assert model.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "0",
        "0G",
        "-1G",
        "+1G",
        "1.5G",
        "1e9",
        "1 000",
        "20 G",
        "20X",
        "20Gi",
        "20iB",
        "513",
        "0x200",
        "٢G",
        str(2**62 + 512),
        "9999999P",
        "1" * 30,
        "1G\n2",
        "20\N{KELVIN SIGN}",
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        model.parse_size(text)


@given(st.integers(1, 2**53))
def test_every_number_of_sectors_is_a_size(sectors: int) -> None:
    assert model.parse_size(str(sectors * 512)) == sectors * 512
    assert model.whole_sectors(sectors * 512) == sectors * 512


@given(st.text())
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    if not refused(model.parse_size, text):
        size = model.parse_size(text)
        assert 0 < size <= 2**62
        assert size % 512 == 0


@given(st.integers())
def test_any_number_is_whole_sectors_or_a_usage_error(number: int) -> None:
    good = 0 < number <= 2**62 and number % 512 == 0
    if good:
        assert model.whole_sectors(number) == number
    else:
        with pytest.raises(UsageError, match="multiple of 512"):
            model.whole_sectors(number)


def patience(name: str, value: float) -> Patience:
    facts: dict[str, Any] = {name: value}
    return Patience(**facts)


@pytest.mark.parametrize("name", ["poll", "first", "steady", "peek", "busy_interval"])
def test_no_interval_may_be_a_hot_loop(name: str) -> None:
    for value in (0.0, -1.0):
        with pytest.raises(UsageError, match="above 0"):
            patience(name, value)


@pytest.mark.parametrize("name", ["timeout", "queue", "grace", "busy_retries"])
def test_bounds_are_not_negative_and_may_be_zero(name: str) -> None:
    with pytest.raises(UsageError, match="not be negative"):
        patience(name, -1)
    patience(name, 0)


@pytest.mark.parametrize(
    ("importing", "lock", "copied"),
    [
        ({"edge1"}, "task", True),
        ({"edge1"}, None, False),
        ({"edge10"}, "task", False),
        (set(), "task", False),
    ],
)
def test_an_import_is_running_only_under_a_lock(
    importing: set[str], lock: str | None, *, copied: bool
) -> None:
    edge = StoreName("edge1")
    image = Image(
        ImageId("6f2e1c0a-0000-4000-8000-00000000000a"),
        stores=frozenset({edge}),
        importing=frozenset(map(StoreName, importing)),
        lock=lock,
    )
    assert image.is_being_copied_to(edge) is copied
    assert image.is_in(edge) is not copied
    assert not image.is_in(StoreName("edge"))
