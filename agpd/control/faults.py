"""What an error of the database means: an outage, a refusal of the change, or a fault of the program."""

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agpd.errors import Code, Refused

# Primary codes of SQLite: what is wrong with the file, its disk or its other users, not with the statement.
_SQLITE_OUTAGES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
}
# Beginnings of SQLSTATE: connection, a standby, authorization, no such database, deadlock,
# privileges, resources, operator, system,
# and not ready for it, such as a database that takes no connections.
_POSTGRES_OUTAGES = ("08", "25006", "28", "3D", "40", "42501", "53", "55", "57", "58", "XX")


def is_outage(error: BaseException) -> bool:
    """Is it the database that does not work, so that the same may succeed later?"""
    if isinstance(error, (OSError, PoolTimeout, TimeoutError)):
        return True
    if isinstance(error, IntegrityError):
        return False
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_outage(error.orig))
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_OUTAGES
    state = getattr(error, "sqlstate", None)
    return (state or "").startswith(_POSTGRES_OUTAGES)


def refusal(error: Exception) -> Refused | None:
    """What the caller is told; None: it is a fault of the program."""
    if isinstance(error, IntegrityError):
        return _constraint(error.orig)
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    if state.startswith("22"):
        return Refused(
            Code.INVALID_REQUEST, "a value is longer than it may be, or has characters that cannot be kept"
        )
    return None


def _constraint(error: BaseException | None) -> Refused | None:
    state = getattr(error, "sqlstate", None)
    name = getattr(error, "sqlite_errorname", None)
    if state == "23505" or name in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"):
        return Refused(Code.ALREADY_EXISTS, "another change made it at the same time")
    if state == "23503" or name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return Refused(Code.CONFLICT, "what it belongs to is not there, or something belongs to it")
    return None
