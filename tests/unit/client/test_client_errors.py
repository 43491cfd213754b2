"""Every code has an exception of the right class, with a text that names the way out."""

import pytest

from agpd import names
from agpd.errors import CATALOGUE, Code
from agpd_client import errors
from agpd_client.errors import AgpError, Closed, ConnectError, checked, ending, is_permanent, refusal


@pytest.mark.parametrize("code", list(Code))
def test_every_code_keeps_its_number_and_its_remedy(code: Code) -> None:
    for error in (refusal(code, "detail"), ending(code, "detail")):
        assert error.code is code
        assert "detail" in str(error)
        assert CATALOGUE[code].remedy in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.NO_ROUTE, errors.NoRoute),
        (Code.NOT_PERMITTED, errors.NotPermitted),
        (Code.TAKEN_OVER, errors.NameTaken),
        (Code.TOO_MANY_ROUTES, errors.LimitReached),
        (Code.CERTIFICATE_REVOKED, errors.Unauthorized),
        (Code.CERTIFICATE_EXPIRED, errors.Unauthorized),
        (Code.UNKNOWN_HANDLE, AgpError),
        (Code.NOT_FOUND, errors.NotFound),
        (Code.ALREADY_EXISTS, errors.AlreadyExists),
        (Code.INVALID_REQUEST, errors.InvalidRequest),
        (Code.UNAVAILABLE, errors.Unavailable),
        (Code.QUOTA_EXCEEDED, errors.LimitReached),
        (Code.TOO_MANY_REQUESTS, errors.LimitReached),
    ],
)
def test_refusals_have_classes(code: Code, kind: type[AgpError]) -> None:
    assert type(refusal(code)) is kind


def test_ends_without_a_class_of_their_own_are_closed() -> None:
    assert type(ending(Code.SHUTTING_DOWN)) is Closed
    assert type(ending(Code.UNAUTHENTICATED)) is errors.Unauthorized


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (ending(Code.UNAUTHENTICATED), True),
        (ending(Code.UNSUPPORTED_VERSION), True),
        (refusal(Code.NOT_PERMITTED), True),
        (ending(Code.CONNECTION_LOST), False),
        (ending(Code.GOODBYE), False),
        (ending(Code.SHUTTING_DOWN), False),
        (refusal(Code.NAME_TAKEN), False),
        (ConnectError("x", code=Code.UNAUTHENTICATED), False),
    ],
)
def test_what_would_happen_again_is_permanent(error: AgpError, permanent: bool) -> None:
    assert is_permanent(error) is permanent


def test_common_base_classes_are_kept() -> None:
    assert issubclass(errors.Timeout, TimeoutError)
    assert issubclass(errors.InvalidName, ValueError)
    assert issubclass(errors.InvalidRequest, ValueError)
    assert issubclass(errors.NotInstalled, ImportError)
    remote = errors.RemoteError("KeyError", "'x'")
    assert (str(remote), remote.type, remote.message, remote.code) == (
        "KeyError: 'x'", "KeyError", "'x'", Code.HANDLER_FAILED,
    )  # fmt: skip


def test_wrong_names_are_the_sdks_own_error() -> None:
    assert checked(names.parse, "a/b/c") == names.parse("a/b/c")
    with pytest.raises(errors.InvalidName, match="segment 'B'") as caught:
        checked(names.parse, "a/B/c")
    assert caught.value.code is Code.INVALID_NAME
