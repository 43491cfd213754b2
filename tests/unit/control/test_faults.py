"""What an error of the database means. How it comes about is tested with real databases in test_store.py."""

import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agpd.control.faults import is_outage, refusal
from agpd.errors import Code


def sqlite_error(code: int, name: str = "") -> sqlite3.Error:
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        PoolTimeout(),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.InvalidPasswordError("wrong"),
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_BUSY)),
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_IOERR | 4 << 8)),
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_FULL)),
        DBAPIError("", {}, asyncpg.AdminShutdownError("shutdown")),
        DBAPIError("", {}, asyncpg.DeadlockDetectedError("deadlock")),
        DBAPIError("", {}, sqlite3.Error(), connection_invalidated=True),
    ],
)
def test_an_outage_is_one(error: Exception) -> None:
    assert is_outage(error)
    assert refusal(error) is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_ERROR)),
        DBAPIError("", {}, asyncpg.UndefinedTableError("no table")),
        IntegrityError("", {}, sqlite_error(sqlite3.SQLITE_CONSTRAINT, "SQLITE_CONSTRAINT_NOTNULL")),
    ],
)
def test_a_fault_of_the_program_is_neither_an_outage_nor_a_refusal(error: Exception) -> None:
    assert not is_outage(error)
    assert refusal(error) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IntegrityError("", {}, sqlite_error(19, "SQLITE_CONSTRAINT_UNIQUE")), Code.ALREADY_EXISTS),
        (IntegrityError("", {}, sqlite_error(19, "SQLITE_CONSTRAINT_PRIMARYKEY")), Code.ALREADY_EXISTS),
        (IntegrityError("", {}, sqlite_error(19, "SQLITE_CONSTRAINT_FOREIGNKEY")), Code.CONFLICT),
        (IntegrityError("", {}, asyncpg.UniqueViolationError("twice")), Code.ALREADY_EXISTS),
        (IntegrityError("", {}, asyncpg.ForeignKeyViolationError("orphan")), Code.CONFLICT),
        (DBAPIError("", {}, asyncpg.StringDataRightTruncationError("too long")), Code.INVALID_REQUEST),
        (DBAPIError("", {}, asyncpg.CharacterNotInRepertoireError("NUL")), Code.INVALID_REQUEST),
    ],
)
def test_what_the_caller_can_change_is_a_refusal(error: Exception, code: Code) -> None:
    assert not is_outage(error)
    found = refusal(error)
    assert found is not None
    assert found.code is code
