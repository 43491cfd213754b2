"""Full text: the words of an agent, blinded so that a search sees the words of its own organization alone.

Both databases index words of all tenants together. Each word is stored as a keyed digest, of which the organization is
the key, in letters: a search never walks through what another tenant has written, however common its word, and takes
as long as if there were no other. It also leaves no query syntax to the user, and one way to split words to both.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from agpd.control.resources import Agent

WORDS_LIMIT = 512
_WORD = re.compile(r"[^\W_]+")
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def words_of(agent: Agent) -> frozenset[str]:
    """The words of its type, identity, description, labels, capabilities and of the texts in its card; at most 512."""
    found: set[str] = set()
    for text in _texts(agent):
        found.update(split(text))
        if len(found) > WORDS_LIMIT:
            return frozenset(sorted(found)[:WORDS_LIMIT])
    return frozenset(found)


def split(text: str) -> list[str]:
    """Words: runs of letters and digits, with compatible forms (NFKC) and upper and lower case taken as the same."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def blind(organization: str, words: Sequence[str] | frozenset[str]) -> str:
    """The words as the database indexes them, with blanks between them."""
    key = organization.encode()
    return " ".join(
        hashlib.blake2b(word.encode(), key=key, digest_size=8).hexdigest().translate(_LETTERS)
        for word in words
    )


def _texts(agent: Agent) -> Iterator[str]:
    yield agent.type
    yield agent.identity
    yield agent.description
    for label in agent.labels.items():
        yield from label
    yield from agent.capabilities
    yield from _strings(agent.card)


def _strings(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict | list):
            pending.extend(item.values() if isinstance(item, dict) else item)
