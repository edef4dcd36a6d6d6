"""Rows read without the parser say exactly what the parser reads in them, whatever stands between and within them."""

import io
import random
import zipfile

import pytest

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.files.text import peekable
from retour.files.workbook import write, xlsx
from retour.files.workbook.sheet import BrokenSheetError

PARTS = write.PARTS | {"xl/workbook.xml": write.WORKBOOK_XML.format(name="s")}
CELLS = [
    '<c r="{c}{r}"><v>12.50</v></c>', '<c r="{c}{r}" t="n"><v>007</v></c>', '<c r="{c}{r}" s="1"><v>1e5</v></c>',
    '<c r="{c}{r}" t="s"><v>0</v></c>', '<c r="{c}{r}" t="s"><v>9</v></c>', '<c r="{c}{r}" t="s"><v></v></c>',
    '<c r="{c}{r}" t="inlineStr"><is><t>A-1</t></is></c>', '<c r="{c}{r}" t="inlineStr"></c>', '<c r="{c}{r}"/>',
    '<c r="{c}{r}" t="inlineStr"><is><t xml:space="preserve"> ü_x0041_ </t></is></c>', '<c><v>5</v></c>',
    '<c r="{c}{r}" t="inlineStr"><is><t>a&amp;b</t></is></c>', '<c r="{c}{r}" t="b"><v>1</v></c>',
    '<c r="{c}{r}"><f>A1+1</f></c>', '<c r="{c}{r}" t="str"><f>A1</f><v>x</v></c>', '<c r="{c}{r}"><v>1]]>2</v></c>',
    '<c r="XFD{r}"><v>1</v></c>', '<c r="{c}{r}" t="inlineStr"><v>odd</v></c>', '<c r="{c}{r}"><is><t>7</t></is></c>',
    '<c r="{c}{r}" t="inlineStr"><is><r><t>ri</t></r><r><t>ch</t></r><rPh><t>no</t></rPh></is></c>',
    '<c r="{c}{r}"><v>12345678901234567890</v></c>', '<c t="n" r="{c}{r}"><v>3</v></c>', '<c r="{c}{r}"><v> 4 </v></c>',
    '<c r="{c}{r}" t="inlineStr"><is><t><![CDATA[</row><row r="99">]]></t></is></c>',
    '<c r="{c}{r}" r="A1"><v>1</v></c>',
    '<c r="{c}{r}" t="inlineStr"><is><t>{long}</t></is></c>', '<c r="{c}{r}"><v>\x01</v></c>', '<c r="{c}{r}">x</c>',
]  # fmt: skip
BETWEEN = [
    "\n",
    " ",
    '<!-- <row r="50"><c r="A50"><v>1</v></c></row> -->',
    "<?x?>",
    "<x></x>",
    "text",
    "</row>",
    "<row>",
]
STARTS = ['<row r="{r}">', '<row r="{r}" spans="1:9">', '<row r="{r}" hidden="1">', "<row>", '<row r="{r}" r="1">']


def sheet(chance: random.Random) -> bytes:
    """A sheet of mostly ordinary rows; now and then something that is allowed, or is not."""
    rows, number = [], 0
    for _ in range(chance.randrange(1, 12)):
        number += chance.choice([1, 1, 1, 1, 2, 0])
        strange = chance.random() < 0.3
        cells = "".join(
            chance.choice(CELLS if strange and chance.random() < 0.4 else CELLS[:4]).format(
                c=chr(65 + at) if chance.random() < 0.98 else "A", r=number, long="x" * 10_001
            )
            for at in range(chance.randrange(6))
        )
        start = chance.choice(STARTS) if chance.random() < 0.1 else STARTS[0]
        rows.append(f"{start.format(r=number)}{cells}</row>")
        if chance.random() < 0.08:
            rows.append(chance.choice(BETWEEN))
    head = chance.choice(["", write.XML_DECLARATION, '<?xml version="1.0" encoding="iso-8859-1"?>'])
    made = f'{head}<worksheet xmlns="{write.NAMESPACE}"><sheetData>{"".join(rows)}</sheetData></worksheet>'.encode()
    return made if chance.random() < 0.95 else made[: chance.randrange(len(made))]


def lines(content: bytes) -> list[object]:
    """Every row of a sheet, and what broke it off."""
    out = io.BytesIO()
    strings = f'<sst xmlns="{write.NAMESPACE}"><si><t>first</t></si><si><t>second</t></si></sst>'
    with zipfile.ZipFile(out, "w") as archive:
        for name, part in {**PARTS, "xl/sharedStrings.xml": strings}.items():
            archive.writestr(name, part)
        archive.writestr("xl/worksheets/sheet1.xml", content)
    out.seek(0)
    book = xlsx.Book(peekable(out), Source(name="s", channel=Channel.SFTP))
    found: list[object] = []
    try:
        for line in book.lines(book.sheets[0]):
            found.append((line.number, line.cells, [*line.inexact], line.far, line.formula, line.long))
    except BrokenSheetError:
        found.append("broken")
    return found


@pytest.mark.slow
def test_with_and_without_the_parser_a_sheet_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = xlsx.SheetReader._plain_row
    taken = []

    def counted(*given: object) -> bool:
        taken.append(plain(*given))  # type: ignore[arg-type]
        return taken[-1]

    for seed in range(1500):
        content = sheet(random.Random(seed))
        monkeypatch.setattr(xlsx, "CHUNK_BYTES", random.Random(seed).choice([7, 100, 1 << 16]))
        monkeypatch.setattr(xlsx.SheetReader, "_plain_row", counted)
        fast = lines(content)
        monkeypatch.setattr(xlsx.SheetReader, "_plain_row", lambda *_: False)
        assert fast == lines(content), (seed, content)
    assert sum(taken) > 1000 and not all(taken)
