"""The key file is its owner's alone, and a seal opens only for its key, its purpose and unaltered."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agpd.control.sealing import KEY_BYTES, Sealer
from agpd.errors import ConfigError

SEALER = Sealer(bytes(KEY_BYTES))


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_the_key_is_made_for_its_owner_alone_under_any_umask(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "state" / "control.key"
    path.parent.mkdir()
    with umask(mask):
        sealer = Sealer.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == KEY_BYTES
    assert [one.name for one in path.parent.iterdir()] == ["control.key"]
    assert Sealer.open(path).unseal(sealer.seal(b"secret", "test"), "test") == b"secret"


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with umask(0):
        Sealer.open(tmp_path / "a" / "state" / "control.key")
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_open_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "control.key"
    Sealer.open(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        Sealer.open(path)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_file_that_is_no_key_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "control.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="backup"):
        Sealer.open(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_read_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="state_directory"):
        Sealer.open(tmp_path / "file" / "control.key")
    (tmp_path / "control.key").mkdir()
    with pytest.raises(ConfigError, match="state_directory"):
        Sealer.open(tmp_path / "control.key")


def test_what_is_sealed_does_not_show_and_opens_again() -> None:
    sealed = SEALER.seal(b"private key", "signing key")
    assert b"private" not in sealed
    assert sealed != SEALER.seal(b"private key", "signing key")
    assert SEALER.unseal(sealed, "signing key") == b"private key"


def test_a_seal_opens_only_unaltered() -> None:
    sealed = SEALER.seal(b"private key", "signing key")
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(ConfigError):
            SEALER.unseal(bytes(altered), "signing key")
    for length in range(len(sealed)):
        with pytest.raises(ConfigError):
            SEALER.unseal(sealed[:length], "signing key")


def test_a_seal_opens_only_for_its_purpose_and_its_key() -> None:
    sealed = SEALER.seal(b"private key", "signing key")
    with pytest.raises(ConfigError):
        SEALER.unseal(sealed, "something else")
    with pytest.raises(ConfigError, match=r"control\.key"):
        Sealer(b"y" * KEY_BYTES).unseal(sealed, "signing key")


def test_a_mac_depends_on_key_purpose_and_data() -> None:
    macs = {
        SEALER.mac(b"data", "purpose"),
        SEALER.mac(b"dat", "purpose"),
        SEALER.mac(b"data", "purpos"),
        SEALER.mac(b"edata", "purpos"),
        Sealer(b"y" * KEY_BYTES).mac(b"data", "purpose"),
    }
    assert len(macs) == 5
    assert SEALER.mac(b"data", "purpose") in macs


def test_a_key_does_not_show() -> None:
    sealer = Sealer(b"k" * KEY_BYTES)
    assert "kkk" not in repr(sealer)
    assert repr(b"k" * 4)[2:-1] not in str(vars(sealer))


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(ValueError):
        Sealer(b"short")
