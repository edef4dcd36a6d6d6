"""OpenPGP: decrypt and verify files, and create key pairs.

Decryption runs in a subprocess with limits on memory, time and output, so that no message can harm the worker. The
library is imported only when needed.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, TypeVar

from retour.domain.row import Refusal
from retour.files.text import FileTooLargeError, Readable
from retour.files.unpack import CHUNK_BYTES, PACKED_BYTES_MAX, RATIO_FROM, RATIO_MAX, UNPACKED_BYTES_MAX

Key = TypeVar("Key")

TIMEOUT_SECONDS = 120
MEMORY_BYTES = 768 << 20
CHILD = "from retour.files.pgp import child; child()"
FAULTS = {
    "key": "PGP_NO_KEY",
    "signature": "PGP_NOT_SIGNED",
    "compressed": "PGP_COMPRESSED",
    "damaged": "PGP_DAMAGED",
}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An armored key pair: the secret key for the source, the public key for senders."""

    secret: str
    public: str
    fingerprint: str


def make_key_pair(name: str) -> KeyPair:
    """Create a key pair for encryption and signing that all OpenPGP programs can read."""
    from pysequoia import Tsk

    pair = Tsk.generate(name)
    public = pair.extract_certificate()
    return KeyPair(str(pair), str(public), public.fingerprint)


def decrypt(
    stream: Readable, keys: Sequence[str], signers: Sequence[str], require_signature: bool
) -> BinaryIO | Refusal:
    """Decrypt a message with any of the keys. With `require_signature`, one of `signers` must have signed it."""
    if find_spec("pysequoia") is None:
        return Refusal("PGP_NOT_OFFERED")
    with TemporaryDirectory(prefix="retour-") as folder:
        packed, plain = Path(folder, "packed"), Path(folder, "plain")
        try:
            size = save_stream(stream, packed)
        except FileTooLargeError:
            return too_large()
        limit = min(UNPACKED_BYTES_MAX, max(RATIO_FROM, RATIO_MAX * size))
        asked = {
            "packed": str(packed),
            "plain": str(plain),
            "keys": list(keys),
            "signers": list(signers),
            "required": require_signature,
            "limit": limit,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-c", CHILD],
                input=json.dumps(asked).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_SECONDS,
                cwd=folder,
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return too_large()
        said = done.stdout.decode("ascii", "replace").strip()
        if said == "done":
            return plain.open("rb")
        return Refusal(FAULTS[said]) if said in FAULTS else too_large()


def too_large() -> Refusal:
    return Refusal("PGP_TOO_LARGE", {"limit": str(UNPACKED_BYTES_MAX >> 20)})


def save_stream(stream: Readable, path: Path) -> int:
    """Copy a stream into a file and return its size."""
    size = 0
    with path.open("wb") as file:
        while piece := stream.read(CHUNK_BYTES):
            size += len(piece)
            if size > PACKED_BYTES_MAX:
                raise FileTooLargeError
            file.write(piece)
    return size


def child() -> None:
    """Entry point of the decrypting subprocess: prints `done` or the fault; prints nothing if it is killed."""
    asked = json.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["limit"], asked["limit"]))
    resource.setrlimit(resource.RLIMIT_CPU, (TIMEOUT_SECONDS, TIMEOUT_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print(decrypt_with_any_key(asked["packed"], asked["plain"], asked["keys"], asked["signers"], asked["required"]))


def decrypt_with_any_key(packed: str, plain: str, keys: Sequence[str], signers: Sequence[str], required: bool) -> str:
    """Decrypt a file with whichever key fits, and return `done` or the fault."""
    from pysequoia import Cert, Tsk, decrypt_file, verify

    known, signed_by = usable_keys(Cert.from_bytes, signers), set[str]()

    def signatures(ids: Sequence[str]) -> list[Cert]:
        signed_by.update(ids)
        return known

    store = signatures if required else None
    with open(packed, "rb") as file:
        clear = file.read(64).lstrip().startswith(b"-----BEGIN PGP SIGNED MESSAGE")
    if clear:
        # The text is readable, but only its signature proves where it ends.
        try:
            said = verify(file=packed, store=lambda _ids: known)
        except RuntimeError as error:
            return fault_name(error)
        Path(plain).write_bytes(said.bytes or b"")
        return "done"
    faults = {"key"}
    # A signed, unencrypted message needs no key, but the library requires one: any will do.
    for key in usable_keys(Tsk.from_bytes, keys) or [Tsk.generate("none")]:
        try:
            decrypt_file(decryptor=key.decryptor(), input=packed, output=plain, store=store)
        except RuntimeError as error:
            faults.add(fault_name(error, signed_by if required else None))
            continue
        return "done"
    return next(said for said in ("signature", "compressed", "damaged", "key") if said in faults)


def usable_keys(read: Callable[[bytes], Key], texts: Sequence[str]) -> list[Key]:
    """The keys that can be parsed; others are ignored."""
    found = []
    for text in texts:
        # The library documents no specific exception.
        with suppress(Exception):
            found.append(read(text.encode()))
    return found


def fault_name(error: RuntimeError, signed_by: Set[str] | None = None) -> str:
    """Our fault name for a library error. `signed_by` has the key ids named in the message, if known.

    The library expects signatures directly below the encryption; GnuPG compresses in between by default.
    """
    text = str(error).partition("\n")[0]
    if "ignature" in text:
        return "signature"
    if "message structure" in text and signed_by is not None:
        return "compressed" if signed_by else "signature"
    return "key" if "No key to decrypt" in text else "damaged"
