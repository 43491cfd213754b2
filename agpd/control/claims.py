"""What the tokens of another issuer mean here: their claims become a pattern of names, and scopes."""

import re
from collections.abc import Mapping
from typing import Any

from agpd.control import jose, scopes
from agpd.control.resources import Issuer
from agpd.control.scopes import Scopes
from agpd.errors import Code, Refused
from agpd.names import Pattern, parse_pattern

_PLACE = re.compile(r"\{([^{}]+)\}")
_SEGMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z", re.ASCII)


def check_mapping(issuer: Issuer) -> None:
    """Can tokens be mapped by this configuration, and only into its tenant? Raises `Refused`."""
    sample = parse_pattern(_PLACE.sub("x", issuer.subject))
    if not issuer.subject.startswith(f"{issuer.tenant}/") or sample.prefix[:1] != (issuer.tenant,):
        raise Refused(
            Code.INVALID_REQUEST,
            f"subject must begin with {issuer.tenant}/, such as {issuer.tenant}/prod/{{azp}}",
        )
    if scopes.parse_each(issuer.default_scopes).admin:
        raise Refused(Code.INVALID_REQUEST, "tokens of other issuers never carry agp:admin")


def pattern_of(issuer: Issuer, claims: Mapping[str, Any]) -> Pattern:
    """The names that the token's holder may speak as. Raises `Refused(INVALID_TOKEN)`."""

    def fill(found: re.Match[str]) -> str:
        value = look_up(claims, found[1])
        if not isinstance(value, str) or not _SEGMENT.match(value):
            raise jose.refused(
                f"its claim {found[1]} is no segment of a name: a-z 0-9 _ -, at most 63 characters"
            )
        return value

    try:
        pattern = parse_pattern(_PLACE.sub(fill, issuer.subject))
    except Refused as error:
        raise jose.refused(error.detail) from None
    if pattern.prefix[:1] != (issuer.tenant,):
        raise jose.refused("it speaks as names outside of the organization")
    return pattern


def scopes_of(issuer: Issuer, claims: Mapping[str, Any]) -> Scopes:
    """What the token permits: those of its scopes that begin with `agp:`. Raises `Refused(INVALID_TOKEN)`."""
    if not issuer.scopes:
        return scopes.parse_each(issuer.default_scopes)
    value = look_up(claims, issuer.scopes)
    texts = value.split(" ") if isinstance(value, str) else value
    if texts is None:
        return Scopes()
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise jose.refused(f"its claim {issuer.scopes} is neither a text nor a list of texts")
    try:
        granted = scopes.parse_each(text for text in texts if text.startswith("agp:"))
    except Refused as error:
        raise jose.refused(error.detail) from None
    return Scopes(granted.patterns)


def look_up(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name, or else of this path of names with dots between; None if there is none."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
