"""What can go wrong with a sealed message: one verdict for whatever does not open, typed causes for all else."""

import enum


class Cause(enum.StrEnum):
    """The name under which a refusal is counted, and told to people."""

    OPEN_FAILED = "open-failed"
    MALFORMED = "malformed"
    SUITE = "suite"
    DESTINATION = "destination"
    EXPIRED = "expired"
    REPLAY = "replay"
    WINDOW = "window"
    BEFORE_START = "before-start"
    REPLAY_STORE_FULL = "replay-store-full"
    CHAIN = "chain"
    NO_ROOT = "no-root"
    REVOKED = "revoked"
    SIGNATURE = "signature"
    NOT_GRANTED = "not-granted"
    NEED_CHAIN = "need-chain"
    UNKNOWN_PREKEY = "unknown-prekey"
    UNKNOWN_SESSION = "unknown-session"
    UNKNOWN_SENDER_KEY = "unknown-sender-key"
    SESSION_ENDED = "session-ended"
    SECOND_ANSWER = "second-answer"
    DIRECTORY_STALE = "directory-stale"
    DIRECTORY_ROLLBACK = "directory-rollback"
    DIRECTORY_FORK = "directory-fork"
    DIRECTORY_BEHIND = "directory-behind"
    EPOCH_ROLLBACK = "epoch-rollback"
    STREAM_TRUNCATED = "stream-truncated"
    STREAM_GAP = "stream-gap"
    STREAM_ENDED = "stream-ended"
    FORKED_PROCESS = "forked-process"


TOLD_TO_PEER = frozenset(
    {
        Cause.SUITE,
        Cause.UNKNOWN_PREKEY,
        Cause.REPLAY_STORE_FULL,
        Cause.NEED_CHAIN,
        Cause.UNKNOWN_SESSION,
        Cause.UNKNOWN_SENDER_KEY,
    }
)
"""A peer may be told these: each asks for another try with newer keys, and none says anything of a secret."""


class CryptoError(Exception):
    """Base of all refusals here. `cause` is exact; the text holds no secret."""

    default = Cause.OPEN_FAILED

    def __init__(self, detail: str = "", cause: Cause | None = None) -> None:
        self.cause = self.default if cause is None else cause
        self.detail = detail
        super().__init__(f"{self.cause}: {detail}" if detail else str(self.cause))


class DecryptionFailed(CryptoError):
    """It does not open, for whatever reason: a wrong key, altered bytes, an altered header, a wrong shape."""

    def __init__(self) -> None:
        super().__init__("the message cannot be opened")


class Malformed(CryptoError):
    """Bytes that do not have their layout. What is sealed is `DecryptionFailed` instead."""

    default = Cause.MALFORMED


class UntrustedKey(CryptoError):
    """A key that the pinned root does not vouch for, or no more, or not for this name."""

    default = Cause.CHAIN


class Expired(CryptoError):
    """An authentic message that nobody wants any more, or a certificate or prekey outside its validity."""

    default = Cause.EXPIRED


class Replayed(CryptoError):
    """Seen before, or so late that this cannot be told any more."""

    default = Cause.REPLAY


class StaleDirectory(CryptoError):
    """The newest directory known is too old for new sessions, or there is none."""

    default = Cause.DIRECTORY_STALE


class DirectoryFork(CryptoError):
    """Two directories of one version, or one that does not continue the one held: raise an alarm."""

    default = Cause.DIRECTORY_FORK


class DirectoryBehind(CryptoError):
    """The peer knows a newer directory. Fetch it, then open the same bytes again."""

    default = Cause.DIRECTORY_BEHIND


class UnknownKey(CryptoError):
    """A prekey, session or sender key that is not held (any more): ask, or begin anew."""

    default = Cause.UNKNOWN_SESSION


class SessionEnded(CryptoError):
    """The session may not be used any more; begin another one."""

    default = Cause.SESSION_ENDED


class SuiteRefused(CryptoError):
    """A suite that is unknown, not supported here, or weaker than the directory demands."""

    default = Cause.SUITE


class WrongDestination(CryptoError):
    """An authentic message for somebody else."""

    default = Cause.DESTINATION


class EpochRollback(CryptoError):
    """A sender key, prekey or directory that is older than one already seen."""

    default = Cause.EPOCH_ROLLBACK


class StreamTruncated(CryptoError):
    """The stream stopped without the end that its sender would have sealed."""

    default = Cause.STREAM_TRUNCATED


class StreamGap(CryptoError):
    """A chunk is missing."""

    default = Cause.STREAM_GAP
