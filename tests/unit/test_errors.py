"""agpd/errors.py: the catalogue is complete and its numbers are frozen."""

import re
from pathlib import Path

import pytest

from agpd.errors import CATALOGUE, AgpdError, Code, Fatal, Fault, Refused, code_of, describe, missing_package

# On the wire since version 1: new ones may be added here, none may change.
FROZEN = {
    0: "OK", 100: "INVALID_NAME", 101: "NAME_TAKEN", 102: "TAKEN_OVER", 103: "UNKNOWN_HANDLE",
    104: "NOT_REGISTERED", 110: "NOT_FOUND", 111: "ALREADY_EXISTS", 112: "CONFLICT", 113: "INVALID_REQUEST",
    200: "NO_ROUTE", 201: "RECEIVER_FULL", 202: "TOO_LONG_FOR_RECEIVER",
    210: "UNAVAILABLE", 300: "NOT_PERMITTED", 301: "INVALID_TOKEN",
    400: "TOO_MANY_AGENTS", 401: "TOO_MANY_SUBSCRIPTIONS", 402: "TOO_MANY_HANDLES", 403: "TOO_MANY_ROUTES",
    404: "TOO_MANY_WATCHES", 410: "QUOTA_EXCEEDED", 411: "TOO_MANY_REQUESTS", 500: "GOODBYE", 501: "SHUTTING_DOWN",
    510: "UNSUPPORTED_VERSION", 511: "MALFORMED_FRAME", 512: "FRAME_TOO_LARGE", 513: "UNKNOWN_KIND",
    514: "ILLEGAL_MOVE", 515: "FOREIGN_SOURCE", 520: "HANDSHAKE_TIMEOUT", 521: "FRAME_TIMEOUT", 522: "PING_TIMEOUT",
    523: "SLOW_CONSUMER", 530: "UNAUTHENTICATED", 531: "CERTIFICATE_REVOKED", 532: "CERTIFICATE_EXPIRED",
    533: "TOKEN_EXPIRED", 534: "TOKEN_REVOKED", 535: "TENANT_SUSPENDED", 540: "TOO_MANY_CONNECTIONS",
    541: "OVERLOADED", 550: "INTERNAL", 560: "CONNECTION_LOST", 600: "NO_ANSWER", 601: "HANDLER_FAILED",
    602: "UNREADABLE", 603: "INBOX_FULL", 604: "NOT_INSTALLED",
}  # fmt: skip


def test_numbers_are_frozen():
    assert {code.value: code.name for code in Code} == FROZEN


def test_every_code_is_in_the_catalogue():
    assert set(CATALOGUE) == set(Code)


@pytest.mark.parametrize("code", set(Code) - {Code.OK}, ids=lambda code: code.name)
def test_an_entry_says_whose_fault_and_the_way_out(code):
    entry = CATALOGUE[code]
    assert entry.meaning[0].islower()
    assert entry.remedy or code is Code.GOODBYE
    assert entry.fatal is (500 <= code < 600)
    assert (entry.fault is Fault.NOBODY) is (
        code in (Code.TAKEN_OVER, Code.GOODBYE, Code.SHUTTING_DOWN, Code.CONNECTION_LOST)
    )
    assert entry.http == 200 or 400 <= entry.http < 600
    assert entry.grpc == entry.grpc.upper()


def test_the_protocol_document_has_the_same_table():
    text = (Path(__file__).parents[2] / "proto" / "native.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", text, re.MULTILINE)
    on_the_wire = {number: name for number, name in FROZEN.items() if number < 600}
    assert {int(number): name for number, name in rows} == on_the_wire


def test_describe():
    assert describe(Code.OK) == "OK: it worked"
    assert describe(Code.NO_ROUTE, "acme/a/b") == (
        "NO_ROUTE: nobody is subscribed to the destination and no route covers it (acme/a/b); "
        "start the receiver, or set a route for its name"
    )


@pytest.mark.parametrize("error", [Refused(Code.NO_ROUTE, "x"), Fatal(Code.INTERNAL, "x")])
def test_errors_carry_code_and_detail(error):
    assert isinstance(error, AgpdError)
    assert error.detail == "x"
    assert str(error) == describe(error.code, "x")


def test_numbers_of_a_newer_peer_are_internal():
    assert code_of(200) is Code.NO_ROUTE
    assert code_of(299) is Code.INTERNAL


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("grpc", "grpc"),
        ("google.protobuf", "google"),
        ("agpdx", "agpdx"),
        ("agpd.plane", ""),
        ("agpd_client.registry", ""),
        (None, ""),
    ],
)
def test_which_package_is_missing(module: str | None, package: str) -> None:
    assert missing_package(ModuleNotFoundError("text", name=module)) == package
