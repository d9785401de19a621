"""What a glance-api's files say about its copies."""

from pathlib import Path

import pytest

from cowpath.copying import CopySettings, Limit, load
from cowpath.core.errors import ConfigError
from cowpath.core.model import Bytes, StoreName
from cowpath.core.transfer import Terms, Verify

CENTRAL, EDGE, FAR = StoreName("central"), StoreName("edge1"), StoreName("far")
_MIB = 1024**2


def _load(folder: Path, *lines: str) -> CopySettings:
    file = folder / "glance-api.conf"
    file.write_text("\n".join(["[DEFAULT]", "unheard_of = 1", "[cowpath]", *lines]))
    return load([str(file)])


def test_nothing_needs_to_be_said(tmp_path: Path) -> None:
    assert _load(tmp_path) == load([]) == CopySettings()
    assert CopySettings().terms(CENTRAL, EDGE) == Terms(Verify.IMAGE, None, 16)


def test_a_file_that_is_not_there_is_not_read(tmp_path: Path) -> None:
    """Glance has read its own; one may be gone since."""
    assert load([str(tmp_path / "gone.conf")]) == CopySettings()


def test_all_that_can_be_said(tmp_path: Path) -> None:
    told = _load(
        tmp_path,
        "verify = transfer",
        "unknown_glance = refuse",
        "source_costs = central=10, far = 2.5",
        "bandwidth = central:edge1=100M, *:edge1=20M, far:* = 1G",
        "copy_lanes = 4",
        "copies_dir = /var/lib/glance/copies",
    )
    assert told == CopySettings(
        verify=Verify.TRANSFER,
        costs={CENTRAL: 10, FAR: 2.5},
        limits=(
            Limit("central", "edge1", Bytes(100 * _MIB)),
            Limit("*", "edge1", Bytes(20 * _MIB)),
            Limit("far", "*", Bytes(1024 * _MIB)),
        ),
        lanes=4,
        copies_dir="/var/lib/glance/copies",
        refuse_unknown=True,
    )


def test_the_first_limit_that_fits_counts(tmp_path: Path) -> None:
    told = _load(tmp_path, "bandwidth = central:edge1=100M, *:edge1=20M, far:*=1G")
    assert told.terms(CENTRAL, EDGE).bandwidth == 100 * _MIB
    assert told.terms(FAR, EDGE).bandwidth == 20 * _MIB
    assert told.terms(FAR, CENTRAL).bandwidth == 1024 * _MIB
    assert told.terms(CENTRAL, FAR).bandwidth is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("verify = md5", "verify"),
        ("unknown_glance = maybe", "unknown_glance"),
        ("source_costs = central", "write STORE=NUMBER"),
        ("source_costs = central=-1", "write STORE=NUMBER"),
        ("source_costs = central=nan", "write STORE=NUMBER"),
        ("source_costs = a b=1", "is not a Glance store id"),
        ("bandwidth = 100M", "write SOURCE:TARGET=BYTES"),
        ("bandwidth = central=100M", "write SOURCE:TARGET=BYTES"),
        ("bandwidth = central:edge1=fast", "is not a size"),
        ("bandwidth = central:edge1=0", "is not a size"),
        ("bandwidth = central:/=1M", "is not a Glance store id"),
        ("copy_lanes = 0", "copy_lanes"),
        ("copies_dir = copies", "give an absolute path"),
        ("verifying = none", "unknown key verifying; did you mean verify?"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    line: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as raised:
        _load(tmp_path, line)
    assert said in str(raised.value)
    assert "[cowpath]" in str(raised.value)
