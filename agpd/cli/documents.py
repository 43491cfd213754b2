"""Resources from files: YAML with several documents, JSON or TOML; `-` is standard input.

A document is one resource with its `kind`, a list of those, or lists of resources under the plurals of their kinds
(`clients: [...]`, in TOML `[[clients]]`), which is the form of `agpctl export`.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agpd.cli.kinds import KINDS, Kind, find
from agpd.cli.lazy import Failure


class Document(NamedTuple):
    """A resource of a file; `values` are those of its kind's struct, complete."""

    kind: Kind
    values: dict[str, Any]


def read_all(files: Sequence[str], tenant: str) -> list[Document]:
    """The resources of all files, ordered so that each comes after what it depends on.

    `tenant` is that of resources which name none. Raises `Failure` that names file, document and field.
    """
    found = [document for file in files for document in read(file, tenant)]
    return sorted(found, key=lambda document: KINDS.index(document.kind))


def read(file: str, tenant: str) -> Iterator[Document]:
    """The resources of one file, in their order."""
    for number, (kind, values) in enumerate(_resources(file, load(file)), 1):
        where = f"{file}, {kind.name} {number}"
        if kind.in_tenant and tenant:
            values.setdefault("tenant", tenant)
        yield Document(kind, checked(kind, values, where))


def load(file: str) -> list[Any]:
    """The documents of a file as values. Raises `Failure`."""
    try:
        text = sys.stdin.buffer.read().decode() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file} is not UTF-8 text: {error}") from error
    try:
        return _parse(text, file)
    except (ValueError, RecursionError) as error:
        raise Failure(f"{file}: {error}") from error


def checked(kind: Kind, values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values, complete and of the types that they must have. Raises `Failure`."""
    try:
        complete: dict[str, Any] = msgspec.to_builtins(msgspec.convert(values, kind.resource))
    except msgspec.ValidationError as error:
        raise Failure(f"{where}: {error}") from error
    return complete


def _parse(text: str, file: str) -> list[Any]:
    """Raises `ValueError`."""
    if file.endswith(".toml"):
        return [tomllib.loads(text)]
    if file.endswith(".json") or text.lstrip().startswith(("{", "[")):
        return [json.loads(text, object_pairs_hook=_unique)]
    return _yaml(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError(f"a key is there twice among {', '.join(sorted(values))}")
    return values


def _yaml(text: str) -> list[Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses keys that are there twice; of those, the first would silently be lost."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[str, Any]:
        pairs = loader.construct_pairs(node, deep=True)
        return _unique([(str(key), value) for key, value in pairs])

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return [document for document in yaml.load_all(text, Loader) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {error}") from error


def _resources(file: str, documents: list[Any]) -> Iterator[tuple[Kind, dict[str, Any]]]:
    for document in documents:
        for item in document if isinstance(document, list) else [document]:
            if not isinstance(item, dict):
                raise Failure(f"{file}: {item!r:.40} is no resource: write `kind: client` and its fields")
            if "kind" in item:
                values = dict(item)
                yield find(str(values.pop("kind"))), values
            else:
                yield from _listed(file, item)


def _listed(file: str, document: dict[str, Any]) -> Iterator[tuple[Kind, dict[str, Any]]]:
    for plural, items in document.items():
        if not items:
            continue
        if plural not in {kind.plural for kind in KINDS}:
            raise Failure(
                f"{file}: a resource has no `kind`, and {plural!r} is no plural of one: see agpctl import"
            )
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Failure(f"{file}: {plural} must be a list of resources")
        yield from ((find(plural), dict(item)) for item in items)
