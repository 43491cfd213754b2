"""agpd/crypto/errors.py: one verdict for what does not open, a cause for all else."""

import pytest

from agpd.crypto import errors
from agpd.crypto.errors import Cause, CryptoError, DecryptionFailed

CLASSES = [each for each in CryptoError.__subclasses__() if each is not DecryptionFailed]


def test_there_is_one_verdict_for_what_does_not_open():
    assert str(DecryptionFailed()) == str(DecryptionFailed()) == "open-failed: the message cannot be opened"
    with pytest.raises(TypeError):
        DecryptionFailed("why")


@pytest.mark.parametrize("kind", CLASSES)
def test_each_has_a_cause_of_its_own_that_can_be_counted(kind):
    error = kind("detail")
    assert error.cause is kind.default is not Cause.OPEN_FAILED
    assert str(error) == f"{error.cause}: detail"
    assert str(kind()) == str(error.cause)
    assert kind("", Cause.SUITE).cause is Cause.SUITE


def test_defaults_differ():
    assert len({kind.default for kind in CLASSES}) == len(CLASSES)


def test_what_a_peer_is_told_says_only_try_again():
    assert Cause.OPEN_FAILED not in errors.TOLD_TO_PEER
    assert Cause.SIGNATURE not in errors.TOLD_TO_PEER
    assert Cause.UNKNOWN_PREKEY in errors.TOLD_TO_PEER
