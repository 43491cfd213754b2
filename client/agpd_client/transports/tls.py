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
    """PEM files: our certificate and its key, and the authorities that the gateway's certificate must come from.

    Through gRPC certificate and key may both be empty: then a token says who we are. No authorities: the system's.
    """

    certificate: str
    key: str
    ca: str


@dataclasses.dataclass(frozen=True, repr=False)
class Pem:
    """What such files hold; empty where there is none."""

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
    """Arguments, else the environment, else (loopback only) the files of `agpd dev`. Raises `Unauthorized`.

    Through gRPC a certificate may be missing, as may authorities elsewhere than on loopback.
    """
    given = (
        _text(certificate) or environ.get("AGP_CERTIFICATE", ""),
        _text(key) or environ.get("AGP_KEY", ""),
        _text(ca) or environ.get("AGP_CA", ""),
    )
    if all(given):
        return Credentials(*given)
    if address.is_tunnel and _is_enough(*given, is_loopback=address.is_loopback):
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


def _is_enough(certificate: str, key: str, ca: str, *, is_loopback: bool) -> bool:
    """A token may take the place of the certificate. On loopback no files at all are those of `agpd dev`."""
    return bool(certificate) == bool(key) and (bool(ca) or not is_loopback)


def read(files: Credentials) -> Pem:
    """Raises `Unauthorized` that names the file."""
    return Pem(*map(_content, files))


def client_context(files: Credentials) -> ssl.SSLContext:
    """TLS 1.3, our side with a certificate if there is one. Raises `Unauthorized` that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if files.ca:
            context.load_verify_locations(files.ca)
        else:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise Unauthorized(f"cannot use the authority file {files.ca}: {_reason(error)}") from error
    try:
        if files.certificate:
            context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise Unauthorized(
            f"cannot use the certificate {files.certificate} with the key {files.key}: {_reason(error)}"
        ) from error
    return context


def explain(error: ssl.SSLError, address: Address, files: Credentials | None) -> Unauthorized:
    """The failed handshake, with the files that took part in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(error.verify_message, address, files)
    return failed(_reason(error), address, files)


def untrusted(reason: str, address: Address, files: Credentials | None) -> Unauthorized:
    """We do not accept the gateway's certificate."""
    return Unauthorized(
        f"the certificate of the gateway at {address} is not accepted: {reason} "
        f"(checked with the authorities in {(files and files.ca) or 'the system'}); "
        "pass ca= / --ca with the gateway's authority"
    )


def failed(reason: str, address: Address, files: Credentials | None) -> Unauthorized:
    """The handshake failed for another reason."""
    used = f"; we showed {_shown(files)}, checked with {files.ca or 'the system'}" if files else ""
    return Unauthorized(f"TLS with the gateway at {address} failed: {reason}{used}")


def _shown(files: Credentials) -> str:
    return files.certificate or "no certificate"


def _content(path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Unauthorized(f"cannot read {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def _text(path: PathLike | None) -> str:
    return "" if path is None else os.fspath(path)
