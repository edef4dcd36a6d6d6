"""OpenPGP: several live keys, signatures that count, and messages that would unpack for ever."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal
from retour.files import pgp
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.sniff import sniff

pysequoia = pytest.importorskip("pysequoia")

GNUPG = Path(__file__).with_name("gnupg")
ROWS = b"order_id,change\nA-1,reverse\nA-2,reverse\n"
OLD, NEW, SIGNER, STRANGER = (pgp.make_key_pair(name) for name in ("old", "new", "signer", "stranger"))


def message(content: bytes, to: pgp.KeyPair = NEW, by: pgp.KeyPair | None = None, armor: bool = True) -> bytes:
    signer = pysequoia.Tsk.from_bytes(by.secret.encode()).signer() if by else None
    recipient = pysequoia.Cert.from_bytes(to.public.encode())
    made: bytes = pysequoia.encrypt(signer=signer, recipients=[recipient], bytes=content, armor=armor)
    return made


def signed(content: bytes, by: pgp.KeyPair, mode: str) -> bytes:
    signer = pysequoia.Tsk.from_bytes(by.secret.encode()).signer()
    made: bytes = pysequoia.sign(signer, content, mode=getattr(pysequoia.SignatureMode, mode))
    return made


def read(content: bytes, keys: tuple[str, ...] = (OLD.secret, NEW.secret), **options: Any) -> str:
    """The number of rows, or why there are none."""
    source = Source(name="s", channel=Channel.SFTP, options=options)
    found = open_file("may.csv.pgp", io.BytesIO(content), source, keys=lambda: keys)
    assert isinstance(found, Refusal | OpenedFile)
    return found.code if isinstance(found, Refusal) else str(len(list(found.rows)))


@pytest.mark.parametrize("armor", [True, False])
@pytest.mark.parametrize("to", [OLD, NEW])
def test_each_live_key_opens_and_what_is_inside_is_read_by_its_content(to: pgp.KeyPair, armor: bool) -> None:
    assert sniff(message(ROWS, to, armor=armor)) == "OPENPGP"
    assert read(message(ROWS, to, armor=armor)) == "2"
    assert read(message(gzip.compress(ROWS), to, armor=armor)) == "2"


def test_no_key_fits() -> None:
    assert read(message(ROWS, STRANGER)) == "PGP_NO_KEY"
    assert read(message(ROWS), keys=()) == "PGP_NO_KEY"


def test_a_signature_counts_where_the_source_asks_for_one() -> None:
    options = {"require_signature": True, "signers": [SIGNER.public]}
    assert read(message(ROWS, by=SIGNER), **options) == "2"
    assert read(message(ROWS, OLD, by=SIGNER), **options) == "2"
    assert read(message(ROWS, by=STRANGER), **options) == "PGP_NOT_SIGNED"
    assert read(message(ROWS), **options) == "PGP_NOT_SIGNED"
    assert read(ROWS, **options) == "PGP_NOT_SIGNED"
    assert read(gzip.compress(ROWS), **options) == "PGP_NOT_SIGNED"
    assert read(message(ROWS, by=SIGNER), require_signature=True) == "PGP_NOT_SIGNED"
    assert read(message(ROWS, by=STRANGER)) == "2"


@pytest.mark.parametrize("mode", ["INLINE", "CLEAR"])
def test_a_message_that_is_only_signed(mode: str) -> None:
    options = {"require_signature": True, "signers": [STRANGER.public, SIGNER.public]}
    assert read(signed(ROWS, SIGNER, mode), **options) == "2"
    assert read(signed(ROWS, SIGNER, mode), keys=(), **options) == "2"
    assert read(signed(ROWS, OLD, mode), **options) == "PGP_NOT_SIGNED"
    changed = signed(ROWS, SIGNER, "CLEAR").replace(b"A-2", b"A-3")
    assert read(changed, **options) == "PGP_NOT_SIGNED"


def test_whatever_is_changed_on_the_way_is_refused_whole() -> None:
    content = message(ROWS * 1000, armor=False)
    for at in (len(content) // 2, len(content) - 3, 60):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert read(changed) in {"PGP_DAMAGED", "PGP_NO_KEY"}
    assert read(content[:-10]) == "PGP_DAMAGED"
    assert read(b"-----BEGIN PGP MESSAGE-----\n\nabc") == "PGP_DAMAGED"


def packet(tag: int, content: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(content).to_bytes(4, "big") + content


def test_a_message_that_unpacks_without_end_is_stopped() -> None:
    import zlib

    literal = packet(11, b"b\0\0\0\0\0" + b"order_id,change\n" + b"\n" * (64 << 20))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packet(8, b"\x01" + deflate.compress(literal) + deflate.flush())
    armored = armor(bomb)
    assert len(armored) < 200_000
    assert read(armored) == "PGP_TOO_LARGE"


def armor(content: bytes) -> bytes:
    import base64

    return b"-----BEGIN PGP MESSAGE-----\n\n" + base64.encodebytes(content) + b"-----END PGP MESSAGE-----\n"


def test_a_key_that_is_none_takes_nothing_from_the_others() -> None:
    assert read(message(ROWS), keys=("-----BEGIN", NEW.secret)) == "2"
    assert read(message(ROWS, by=SIGNER), require_signature=True, signers=["no key", SIGNER.public]) == "2"


def test_a_pair_is_two_halves_of_one_key() -> None:
    assert "PRIVATE KEY" in NEW.secret and "PUBLIC KEY" in NEW.public
    assert len(NEW.fingerprint) == 40 and NEW.fingerprint != OLD.fingerprint


def test_texts_are_no_messages() -> None:
    for text in ("„Bestellung“;x\n", "Ábc;d\n", "…;x\n"):
        assert sniff(text.encode("cp1252")) == "TEXT"


@pytest.mark.parametrize(
    ("name", "free", "signed_for"),
    [
        ("signed.asc", "2", "2"),
        ("signed-only.asc", "2", "2"),
        ("signed-compressed.asc", "2", "PGP_COMPRESSED"),
        ("unsigned.asc", "2", "PGP_NOT_SIGNED"),
    ],
)
def test_what_gnupg_makes_is_read_or_answered_by_what_to_tell_it(name: str, free: str, signed_for: str) -> None:
    """GnuPG compresses unless it is told not to."""
    content, keys = (GNUPG / name).read_bytes(), ((GNUPG / "source.secret.asc").read_text(),)
    signers = [(GNUPG / "signer.asc").read_text()]
    assert read(content, keys) == free
    assert read(content, (STRANGER.secret, *keys), require_signature=True, signers=signers) == signed_for
    stranger = read(content, keys, require_signature=True, signers=[STRANGER.public])
    assert stranger in ("PGP_NOT_SIGNED", "PGP_COMPRESSED")
