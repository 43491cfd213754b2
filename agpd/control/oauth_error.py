"""The refusals of the OAuth 2.0 endpoints."""

from agpd.errors import Code, Refused

_CODES = {
    "invalid_client": Code.INVALID_TOKEN,
    "invalid_scope": Code.NOT_PERMITTED,
    "unauthorized_client": Code.NOT_PERMITTED,
    "temporarily_unavailable": Code.TOO_MANY_REQUESTS,
}


class OAuthError(Refused):
    """A refusal with the `error` of RFC 6749 section 5.2 (or 8693, 8707); elsewhere it counts as its code."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(_CODES.get(error, Code.INVALID_REQUEST), detail)
        self.error = error


def invalid_client() -> OAuthError:
    """The one answer to whoever does not prove to be a client of the organization."""
    return OAuthError("invalid_client", "unknown client, wrong credentials, or not of this organization")
