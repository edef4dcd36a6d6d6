"""Mutate samples with a seeded random generator: no reader may raise, lose a record, or return one twice."""

import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from xml.etree import ElementTree

from retour.channels import mail
from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.formats import FORMATS
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places
from retour.files.workbook import xls
from tests.files import old_workbooks as old
from tests.files.workbooks import header, number, row, shared, text, workbook

PLAIN = Source(name="s", channel=Channel.SFTP)
MAPPED = Source(
    name="s",
    channel=Channel.SFTP,
    mapping={"columns": {"order_id": "nr", "amount": "betrag"}, "decimal": ",", "encoding": "cp1252"},
)
# In files this short, no record exceeds the limit for returning it.
SHORT = 100_000
Rows = Sequence[Row | Unreadable]


@dataclass(frozen=True, slots=True)
class Target:
    """A reader under test: samples, characters it treats specially, and invariants of its result."""

    seeds: Sequence[bytes]
    tokens: Sequence[bytes]
    check: Callable[[bytes, OpenedFile, Rows], None]
    wrap: Callable[[bytes], bytes] = bytes
    judge: Callable[[bytes], str] | None = None
    """Replaces the reading of a file: the result of a sample."""


def mutate(data: bytes, target: Target, chance: random.Random) -> bytes:
    """Mutate a sample a few times."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + chance.choice((1, 2, 8, 64, 4096)))
        match chance.randrange(7):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:end] + data[at:]
            case 2:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + chance.choice(target.tokens) + data[at:]
            case 4:
                data = data[:at] + chance.choice(target.tokens) + data[end:]
            case 5:
                data = data[:at] if chance.random() < 0.3 else data
            case 6:
                other = chance.choice(target.seeds)
                data = data[:at] + other[chance.randrange(len(other)) :]
    return data


def run_once(target: Target, chance: random.Random) -> str:
    """Read a mutated sample, return its rows and read them again. Returns `read` or the code of its refusal."""
    content = mutate(chance.choice(target.seeds), target, chance)
    if target.judge:
        return target.judge(content)
    source = chance.choice((PLAIN, PLAIN, MAPPED))
    whole = target.wrap(content)
    opened = open_file("x", io.BytesIO(whole), source)
    if isinstance(opened, Refusal):
        return opened.code
    rows = list(opened.rows)
    places = [found.place for found in rows]
    assert len(set(places)) == len(places), "two records at one place"
    assert all(
        isinstance(value, str) and value for found in rows if isinstance(found, Row) for value in found.fields.values()
    )
    json.dumps([[found.place, found.raw] for found in rows]).encode()
    target.check(content, opened, rows)
    again = b"".join(rows_at_places(open_again(whole, source), set(places)))
    back = open_file("x", io.BytesIO(again), source)
    if isinstance(back, OpenedFile):
        list(back.rows)
    return "read"


def open_again(whole: bytes, source: Source) -> OpenedFile:
    opened = open_file("x", io.BytesIO(whole), source)
    assert isinstance(opened, OpenedFile), "a file reads differently the second time"
    return opened


# Invariants


def lines_are_accounted_for(content: bytes, opened: OpenedFile, rows: Rows) -> None:
    """Every line with anything on it is the header's, a row's, or counted as skipped."""
    if re.search(rb"\r(?!\n)|\0|^\xef\xbb\xbf|^\xff\xfe|^\xfe\xff", content) or not all(found.raw for found in rows):
        return
    blank = b" \t\r\n\x1a" + (b"," if not opened.delimiter else opened.delimiter.encode()) + b'"'
    lines = [line for line in content.split(b"\n") if line.strip(blank)]
    head = sum(1 for line in opened.rejected_head.split(b"\n") if line.strip(blank))
    told = sum(1 for found in rows for line in found.raw.split("\n") if line.strip(blank.decode()))
    others = opened.skipped["totals"] + opened.skipped["repeated header"]
    assert len(lines) == head + told + others, (len(lines), head, told, others)


def record_tags_are_accounted_for(content: bytes, opened: OpenedFile, rows: Rows) -> None:
    """Every record that begins in the document is in what one row, read or refused, gives back."""
    begin = rb"<(?:[^<>\s/:]+:)?(?:modification|retoure)(?=[\s/>])"
    if opened.encoding != "utf-8" or b"<!" in content or content.count(b"<?") > 1 or len(content) > SHORT:
        return
    left = content[len(opened.rejected_head) :]
    begun = len(re.findall(begin, left))
    told = sum(len(re.findall(begin, found.raw.encode())) for found in rows)
    assert told <= begun, (begun, told)
    if len(set(re.findall(begin, left))) != 1 or not rows or not re.match(begin, rows[0].raw.encode()):
        return
    assert begun == told, (begun, told)


def records_are_accounted_for(content: bytes, opened: OpenedFile, rows: Rows) -> None:
    """Valid JSON has as many rows as records; of broken JSON every piece of a record comes back."""
    if opened.newline == "\n" and opened.encoding == "utf-8" and opened.rejected_head == b"":
        lines = [line for line in content.split(b"\n") if line.strip(b" \t\r\n\x1a")]
        if all(found.raw.count("\n") <= 1 for found in rows) and re.search(rb"\r(?!\n)", content) is None:
            assert len(lines) == len(rows) or len(rows) == 1, (len(lines), len(rows))
        return
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        inside = content[len(opened.rejected_head) :]
        if opened.encoding == "utf-8" and all(found.raw for found in rows[:-1]):
            told = sum(found.raw.count("order_id") for found in rows)
            assert told == inside.count(b"order_id"), (told, inside.count(b"order_id"))
        return
    if opened.rejected_head == b"":
        assert len(rows) == 1
        return
    records = value if isinstance(value, list) else next((v for v in value.values() if isinstance(v, list)), [value])
    assert len(records) == len(rows), (len(records), len(rows))


def sheet_rows_are_accounted_for(content: bytes, opened: OpenedFile, rows: Rows) -> None:
    """As many rows as another parser sees below the header, whatever is in them."""
    if any(found.code == "SHEET_BROKEN" for found in rows if isinstance(found, Unreadable)):
        return
    try:
        document = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        # It is stricter about namespaces, which mean nothing here.
        return
    seen = [element for element in document.iter() if element.tag.rpartition("}")[2] == "row"]
    below, line = 0, 0
    header_cells = opened.rejected_head.decode().rstrip("\n").rpartition("\n")[2].split("\t")
    for element in seen:
        below += 1
        values = ["".join(cell.itertext()) for cell in element]
        if not line and [value for value in values if value] == [cell for cell in header_cells if cell]:
            line, below = 1, 0
    skipped = sum(opened.skipped[kind] for kind in ("blank", "totals", "repeated header"))
    if line:
        assert below == len(rows) + skipped, (below, len(rows), skipped)


# Samples


def csv_seeds() -> list[bytes]:
    plain = "reference,order_id,change,amount,note\n" + "".join(
        f'R-{n},A-{n},take_back,{n}.50,"a ""quoted"" note, of {n}"\n' for n in range(1, 8)
    )
    mapped = "Kopf;;\nnr;betrag;Grund\n" + "".join(f'{n};"1.{n:03},50";größer\n' for n in range(1, 8)) + "Summe;7;\n"
    return [
        plain.encode(),
        plain.replace("\n", "\r\n").encode(),
        mapped.encode("cp1252"),
        plain.replace(",", "\t").encode("utf-16"),
    ]


def xml_seeds() -> list[bytes]:
    records = "".join(
        f"  <modification><reference>R-{n}</reference><order_id>A-{n}</order_id><change>reverse</change>"
        f"<note>a &amp; b {n}</note></modification>\n"
        for n in range(1, 8)
    )
    own = f'<?xml version="1.0" encoding="UTF-8"?>\n<modifications>\n{records}</modifications>\n'
    mapped = "<export><kopf>x</kopf><retouren>" + "".join(
        f'<retoure nr="{n}"><betrag>{n},50</betrag><lager><ort>K</ort></lager></retoure>' for n in range(1, 8)
    )
    return [own.encode(), own.replace("UTF-8", "UTF-16").encode("utf-16"), f"{mapped}</retouren></export>".encode()]


def json_seeds() -> list[bytes]:
    records = [
        {"reference": f"R-{n}", "order_id": f"A-{n}", "change": "take_back", "amount": f"{n}.50", "quantity": n}
        for n in range(1, 8)
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return [
        json.dumps(records).encode(),
        json.dumps({"modifications": records}, indent=1).encode(),
        lines.encode(),
        json.dumps([{"nr": n, "betrag": n + 0.5, "order_id": None} for n in range(1, 8)]).encode(),
    ]


SHEET = (
    '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    + header(1, "reference", "order_id", "change", "amount", "occurred_at")
    + "".join(
        row(
            n,
            text(f"A{n}", f"R-{n}"),
            shared(f"B{n}", n % 3),
            text(f"C{n}", "take_back"),
            number(f"D{n}", f"{n}.5"),
            number(f"E{n}", "46143.5", 1),
        )
        for n in range(2, 70)
    )
    + "</sheetData></worksheet>"
)
STRINGS = "".join(f"<si><t>A-{n}</t></si>" for n in range(3))


def in_workbook(sheet: bytes) -> bytes:
    """A mutated sheet in an otherwise valid workbook."""
    out = io.BytesIO()
    sound = io.BytesIO(workbook(("S", ""), strings=STRINGS, styles=(0, 14)))
    with zipfile.ZipFile(sound) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            after.writestr(name, sheet if name.endswith("sheet1.xml") else before.read(name))
    return out.getvalue()


OLD_CELLS = old.header("reference", "order_id", "change", "amount", "occurred_at") + b"".join(
    old.text(n, 0, f"R-{n}")
    + old.shared(n, 1, n % 3)
    + old.text(n, 2, "take_back")
    + (old.number(n, 3, n + 0.5) if n % 2 else old.formula(n, 3, b"\0\0\0\0\0\0\x29\x40"))
    + old.packed(n, 4, 46143 << 2 | 2, 1)
    for n in range(1, 70)
)
OLD_STREAM = old.stream(("S", OLD_CELLS), extra=old.strings("A-0", "A-1", "A-€"), styles=(0, 14))


MAILBOX = Source(
    name="mail",
    channel=Channel.EMAIL,
    options={"allow_from": ["returns@shop.example"], "accept_unauthenticated": True},
)


def mail_seeds() -> list[bytes]:
    head = b"From: Shop <returns@shop.example>\r\nSubject: =?utf-8?q?R=C3=BCckgaben?=\r\nMessage-ID: <1@x>\r\n"
    rows = b"order_id,change\r\nA-1,reverse\r\n"
    part = (
        b'Content-Type: text/csv; charset="iso-8859-1"; name="=?utf-8?b?TWFp?=.csv"\r\n'
        b"Content-Disposition: attachment; filename*0*=utf-8''m%C3%A4; filename*1=rz.csv\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + rows
    )
    several = head + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    inside = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + head + part + b"\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    return [head + part, several + b"--b\r\n\r\nbegin 644 a.csv\r\n#86)C\r\n`\r\nend\r\n" + inside]


def screen_once(content: bytes) -> str:
    """A mail is accepted, held, listed or dropped, and any reply can be composed."""
    found = mail.screen_mail(content, MAILBOX, envelope_sender="bounces@shop.example", domain="in.example")
    taken = found.mail if isinstance(found, mail.HeldMail | mail.RejectedMail) else found
    if isinstance(taken, mail.DroppedMail | mail.UnreadMail):
        return "quiet"
    to = {"to": taken.sender, "subject": taken.subject, "message_id": taken.message_id}
    told = [
        mail.FileSummary(file.name, "d", skipped={f"ignored {name}": 1 for name in taken.ignored})
        for file in taken.files
    ]
    moment = datetime(2026, 11, 2, 9, tzinfo=UTC)
    mail.compose_reply(
        *told or [mail.FileSummary("mail.eml", "d")], language="de", program="A", sender="a@b.example", to=to, at=moment
    )
    json.dumps([[file.name, file.charset] for file in taken.files] + [list(taken.ignored)]).encode()
    return "read" if taken.files else "without a file"


def no_further_check(_content: bytes, _opened: OpenedFile, _rows: Rows) -> None:
    """No invariant beyond those of every reader."""


MARKS = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\x1a",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xf4\x8f\xbc\x80",
    b"9" * 20_000,
)
CELLS = [("reference", "order_id", "change", "amount"), *((f"R-{n}", f"A-{n}", "take_back", "1.50") for n in range(30))]


def built_seed(kind: str) -> bytes:
    """A file of a format, as the suite of all formats builds it."""
    return bytes(import_module(f"tests.files.formats.{kind.lower()}").build(CELLS))


TARGETS: Mapping[str, Target] = {
    **{kind.lower(): Target((built_seed(kind),), MARKS, no_further_check) for kind in FORMATS},
    "table": Target(
        csv_seeds(),
        (*MARKS, b'"', b'""', b",", b";", b"\t", b"|", b'="', b"\n\n", b"Total,", b"1,2E+12"),
        lines_are_accounted_for,
    ),
    "xml": Target(
        xml_seeds(),
        (
            *MARKS,
            b"<",
            b">",
            b"&",
            b"&x;",
            b"&#0;",
            b"&#x110000;",
            b"<!--",
            b"-->",
            b"<![CDATA[",
            b"]]>",
            b"<?x",
            b"<!DOCTYPE x [",
            b"</modification>",
            b"<modification>",
            b"<modification/>",
            b"</modifications>",
            b"x:",
            b'a="b"',
            b"<a>" * 100,
        ),
        record_tags_are_accounted_for,
    ),
    "json": Target(
        json_seeds(),
        (
            *MARKS,
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b"\\",
            b"\\ud800",
            b"\\u0000",
            b"null",
            b"1e999999",
            b"-0",
            b"NaN",
            b"[" * 5000,
            b'{"a":' * 3000,
            b"{}",
            b'"order_id":',
        ),
        records_are_accounted_for,
    ),
    "sheet": Target(
        (
            SHEET.encode(),
            SHEET.replace("<", "<x:")
            .replace("<x:/", "</x:")
            .replace("<x:?", "<?")
            .replace("xmlns=", "xmlns:x=")
            .encode(),
        ),
        (
            *MARKS,
            b"<row>",
            b"</row>",
            b'<row r="9">',
            b"<c>",
            b"</c>",
            b"<v>",
            b"</v>",
            b't="s"',
            b't="b"',
            b's="1"',
            b's="99"',
            b'r="XFD1048576"',
            b'r="A0"',
            b"<f>",
            b"</f>",
            b"1E+300",
            b"1e5000000",
            b"_x0000_",
            b"<!DOCTYPE x [",
            b"<is><t>",
        ),
        sheet_rows_are_accounted_for,
        in_workbook,
    ),
    "records": Target(
        (OLD_STREAM, old.stream(("S", OLD_CELLS), styles=(0, 14), version=0x500)),
        (
            *MARKS,
            *(old.record(kind, b"\1" * 12) for kind in xls.CELL_RECORDS),
            old.EOF,
            old.bof(0x10),
            old.strings("x"),
        ),
        no_further_check,
        old.compound,
    ),
    "compound": Target(
        (old.compound(OLD_STREAM),), (*MARKS, b"\xfe\xff\xff\xff", b"\xff\xff\xff\xff", b"\1\0\0\0"), no_further_check
    ),
    "mail": Target(
        mail_seeds(),
        (
            *MARKS,
            *(
                b"=?",
                b"?=",
                b"=?idna?q?",
                b"idna''%ff",
                b"''",
                b"*=",
                b"*0*=",
                b"charset=undefined",
                b"charset*=x''%80",
                b"--b",
            ),
            *(
                b"base64",
                b"x-uuencode",
                b"multipart/",
                b"message/rfc822",
                b"boundary*=hex''%00",
                b"\xc3\xbc",
                b";",
                b'"',
                b"<",
                b">",
            ),
        ),
        no_further_check,
        judge=screen_once,
    ),
    "page": Target(
        (
            b"<html><table><tr><th>order_id</th><th>change</th><th>amount</th></tr>"
            + b"".join(b"<tr><td>A-%d</td><td>take_back</td><td>%d.50</td></tr>\n" % (n, n) for n in range(1, 30))
            + b"</table></html>",
        ),
        (
            *MARKS,
            b"<table>",
            b"</table>",
            b"<tr>",
            b"<td>",
            b"</td>",
            b"<th",
            b"<!--",
            b"<![CDATA[",
            b"<script>",
            b"&#0;",
            b"&x;",
            b"<br>",
        ),
        no_further_check,
    ),
    "workbook": Target(
        (in_workbook(SHEET.encode()),), (*MARKS, b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"), no_further_check
    ),
}
