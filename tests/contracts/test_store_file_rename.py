"""A rename never replaces a file, also where the kernel has no such rename."""

import errno
import os
from pathlib import Path

import pytest

from cowpath.stores.file import _rename

_EVERY = [0, errno.EINVAL, errno.ENOSYS]


@pytest.fixture(params=_EVERY)
def pair(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """Give a file and a free name, on kernels that have it and on others."""
    if request.param:
        monkeypatch.setattr(_rename, "_renameat2", lambda *_: request.param)
    source, target = tmp_path / "a b", tmp_path / "c"
    source.write_bytes(b"ours")
    return source, target


def test_file_is_moved(pair: tuple[Path, Path]) -> None:
    source, target = pair
    _rename.rename_to_free(source, target)
    assert target.read_bytes() == b"ours"
    assert not source.exists()


def test_file_of_that_name_stays(pair: tuple[Path, Path]) -> None:
    source, target = pair
    target.write_bytes(b"theirs")
    with pytest.raises(FileExistsError, match="a b"):
        _rename.rename_to_free(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"ours", b"theirs")


def test_broken_link_of_that_name_stays(pair: tuple[Path, Path]) -> None:
    source, target = pair
    target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        _rename.rename_to_free(source, target)
    assert target.is_symlink()


def test_what_is_gone_is_told(pair: tuple[Path, Path]) -> None:
    source, target = pair
    source.unlink()
    with pytest.raises(FileNotFoundError):
        _rename.rename_to_free(source, target)
    assert not os.path.lexists(target)
