"""Open delivered files, decrypting them with their source's OpenPGP keys, and manage those keys.

Each secret key has its own parameter in Parameter Store, since two do not fit into one. Public keys are kept in the
source's state.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

from retour.domain.delivery import Delivery
from retour.domain.program import Program, Source
from retour.domain.row import Refusal
from retour.domain.times import format_instant
from retour.files.opened_file import OpenedFile
from retour.files.sniff import sniff
from retour.files.text import SNIFF_BYTES, Readable
from retour.files.unpack import CHUNK_BYTES
from retour.ports import CredentialPorts

if TYPE_CHECKING:
    from retour.files.mail_parts import Attachment

LIVE_KEYS_MAX = 4
"""Maximum active keys per source. A further one replaces the oldest."""
KEYS_STATE = "openpgp"


def open_delivery(
    ports: CredentialPorts, delivery: Delivery, source: Source, stream: BinaryIO | Readable
) -> OpenedFile | Refusal:
    """Open a delivery's file with the reader for its format."""
    from retour.files.corrected import LAYOUT, open_corrected
    from retour.files.open import open_file

    layout = delivery.facts.get("layout", "modifications")
    source = with_charset(source, delivery.facts.get("charset", ""))
    if layout == LAYOUT:
        return open_corrected(stream, source, delivery.facts.get("known", ""))
    return open_file(delivery.name, stream, source, layout, lambda: secret_keys(ports, delivery.program, source.name))


def with_charset(source: Source, charset: str) -> Source:
    """The source with the charset declared by a mail, unless it declares one itself."""
    if not charset or "encoding" in source.mapping or charset in ("us-ascii", "utf-8"):
        return source
    return replace(source, mapping=MappingProxyType({**source.mapping, "encoding": charset}))


def secret_keys(ports: CredentialPorts, program: str, source: str) -> Sequence[str]:
    """The active secret keys of a source, armored, newest first."""
    held = (ports.secret(program, parameter_name(source, key["slot"])) for key in public_keys(ports, program, source))
    return [secret["secret_key"] for secret in held if "secret_key" in secret]


def is_proved_by_signature(
    ports: CredentialPorts, program: Program, source: Source, mail: str, file: "Attachment"
) -> bool:
    """Whether a mailed file is signed by one of the source's signers and is not a replay of an earlier mail.

    Signed content is remembered by its hash, since its wrapping can be changed. `mail` is the receiver's id of the
    mail, which stays the same when the event is repeated.
    """
    from retour.files.pgp import decrypt

    if sniff(file.content[:SNIFF_BYTES]) != "OPENPGP":
        return False
    said = decrypt(BytesIO(file.content), secret_keys(ports, program.id, source.name), source.options["signers"], True)
    if isinstance(said, Refusal):
        return False
    digest = hashlib.sha256()
    with said:
        while piece := said.read(CHUNK_BYTES):
            digest.update(piece)
    seen = ports.state(program.id, source.name)
    mark = f"signed#{digest.hexdigest()}"
    return seen.claim(mark, {"mail": mail}) or (seen.get(mark) or {}).get("mail") == mail


def public_keys(ports: CredentialPorts, program: str, source: str) -> Sequence[dict[str, Any]]:
    """The public keys of a source, newest first."""
    made: Sequence[dict[str, Any]] = (ports.state(program, source).get(KEYS_STATE) or {}).get("keys", ())
    return made


def create_key(ports: CredentialPorts, program: str, source: str, by: str = "") -> dict[str, Any]:
    """Create a key pair for a source and return its public part. The secret key is stored and never shown."""
    from retour.files.pgp import make_key_pair

    before = public_keys(ports, program, source)[: LIVE_KEYS_MAX - 1]
    slot = min(set(range(LIVE_KEYS_MAX)) - {key["slot"] for key in before})
    pair = make_key_pair(f"{program}/{source}")
    ports.secrets.put(program, parameter_name(source, slot), {"secret_key": pair.secret})
    # Remove the library's comment headers, which other programs reject.
    public = re.sub(r"(?m)^Comment: .*\n", "", pair.public)
    made = {"slot": slot, "fingerprint": pair.fingerprint, "public_key": public, "made_at": format_instant(ports.now())}
    made["made_by"] = by
    ports.state(program, source).put(KEYS_STATE, {"keys": [made, *before]})
    return made


def revoke_key(ports: CredentialPorts, program: str, source: str, fingerprint: str) -> dict[str, Any] | None:
    """Delete a key pair. Files encrypted only for it become unreadable. None if it does not exist."""
    live = public_keys(ports, program, source)
    gone = next((key for key in live if key["fingerprint"] == fingerprint), None)
    if gone is not None:
        ports.secrets.put(program, parameter_name(source, gone["slot"]), {})
        ports.state(program, source).put(KEYS_STATE, {"keys": [key for key in live if key is not gone]})
    return gone


def parameter_name(source: str, slot: int) -> str:
    """The parameter name of a key slot. It cannot collide with a source name."""
    return f"{source}.openpgp.{slot}"
