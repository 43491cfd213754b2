"""Who we are, whom we trust, and the TLS context made from that. Read at each connection.

Certificates live for a day: a file that was renewed is used by the next connection."""

import dataclasses
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from agpd_client.errors import ConnectError, Unauthorized
from agpd_client.transports.address import Address

PathLike = str | os.PathLike[str]


class Credentials(NamedTuple):
    """PEM files: our certificate and its key, and the authorities that the gateway's certificate must come from."""

    certificate: str
    key: str
    ca: str


@dataclasses.dataclass(frozen=True, repr=False)
class Pem:
    """What such files hold."""

    certificate: bytes
    key: bytes
    ca: bytes


def development_directory(environ: Mapping[str, str]) -> Path:
    """Where `agpd dev` keeps its files."""
    state = environ.get("AGPD_STATE_DIR")
    if state:
        return Path(state) / "dev"
    import platformdirs  # only needed where no credentials are given

    return platformdirs.user_state_path("agpd") / "dev"


def credentials(
    address: Address,
    certificate: PathLike | None,
    key: PathLike | None,
    ca: PathLike | None,
    environ: Mapping[str, str],
) -> Credentials:
    """Arguments, else the environment, else (loopback only) the files of `agpd dev`. Raises `Unauthorized`."""
    given = (
        _text(certificate) or environ.get("AGP_CERTIFICATE", ""),
        _text(key) or environ.get("AGP_KEY", ""),
        _text(ca) or environ.get("AGP_CA", ""),
    )
    if all(given):
        return Credentials(*given)
    if any(given):
        names = zip(given, ("certificate (AGP_CERTIFICATE)", "key (AGP_KEY)", "ca (AGP_CA)"), strict=True)
        missing = [name for value, name in names if not value]
        raise Unauthorized(f"TLS needs certificate, key and ca together; {', '.join(missing)} is missing")
    if not address.is_loopback:
        raise Unauthorized(
            f"no certificate to show to {address}: pass certificate=, key= and ca=, "
            "or set AGP_CERTIFICATE, AGP_KEY and AGP_CA; `agpctl pki issue agent` makes one"
        )
    directory = development_directory(environ)
    found = Credentials(*(str(directory / name) for name in ("agent.pem", "agent.key", "ca.pem")))
    if not Path(found.certificate).exists():
        raise ConnectError(
            f"no certificate given and no development certificate in {directory}: start a gateway with `agpd dev`, "
            "or pass certificate=, key= and ca="
        )
    return found


def read(files: Credentials) -> Pem:
    """Raises `Unauthorized` that names the file."""
    return Pem(*map(_content, files))


def client_context(files: Credentials) -> ssl.SSLContext:
    """TLS 1.3, both sides with certificates. Raises `Unauthorized` that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(files.ca)
    except (OSError, ssl.SSLError) as error:
        raise Unauthorized(f"cannot use the authority file {files.ca}: {_reason(error)}") from error
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise Unauthorized(
            f"cannot use the certificate {files.certificate} with the key {files.key}: {_reason(error)}"
        ) from error
    return context


def explain(error: ssl.SSLError, address: Address, files: Credentials | None) -> Unauthorized:
    """The failed handshake, with the files that took part in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unauthorized(
            f"the certificate of the gateway at {address} is not accepted: {error.verify_message} "
            f"(checked with the authorities in {files.ca if files else '?'}); "
            "pass ca= / --ca with the gateway's authority"
        )
    used = f"; we showed {files.certificate}, checked with {files.ca}" if files else ""
    return Unauthorized(f"TLS with the gateway at {address} failed: {_reason(error)}{used}")


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Unauthorized(f"cannot read {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def _text(path: PathLike | None) -> str:
    return "" if path is None else os.fspath(path)
