"""XML: every record accounted for, the damaged and the hostile refused, the refused given back as they came."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files import hostile

from retour.domain.delivery import Channel
from retour.domain.program import Source
from retour.domain.row import Refusal, Row, Unreadable
from retour.files.open import open_file
from retour.files.opened_file import OpenedFile
from retour.files.result_files import rows_at_places


def source(**mapping: Any) -> Source:
    return Source(name="s", channel=Channel.SFTP, mapping=mapping)


def opened(content: bytes, **mapping: Any) -> OpenedFile:
    found = open_file("x.xml", io.BytesIO(content), source(**mapping))
    assert isinstance(found, OpenedFile), found
    return found


def rows(content: bytes, **mapping: Any) -> list[Row | Unreadable]:
    return list(opened(content, **mapping).rows)


def refused(content: bytes, **mapping: Any) -> str:
    found = open_file("x.xml", io.BytesIO(content), source(**mapping))
    assert isinstance(found, Refusal), found
    return found.code


def codes(content: bytes, **mapping: Any) -> list[str]:
    return ["" if isinstance(row, Row) else row.code for row in rows(content, **mapping)]


def document(*records: str) -> bytes:
    inside = "".join(f"  {record}\n" for record in records)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<modifications>\n{inside}</modifications>\n'.encode()


def record(order: str = "A-1", more: str = "") -> str:
    return f"<modification><order_id>{order}</order_id><change>reverse</change>{more}</modification>"


def test_records_by_line_in_every_encoding_expat_and_we_agree_on() -> None:
    text = document(record("Ä-1"), record("€-2")).decode()
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "windows-1252"):
        declared = "utf-8" if encoding == "utf-8-sig" else "utf-16" if encoding.startswith("utf-16") else encoding
        found = rows(text.replace("UTF-8", declared).encode(encoding))
        assert [(row.place, dict(row.fields)["order_id"]) for row in found if isinstance(row, Row)] == [
            ("3", "Ä-1"),
            ("4", "€-2"),
        ], encoding
        assert found[0].raw == record("Ä-1")


def test_mapped_names_attributes_and_namespaces() -> None:
    content = (
        b'<x:Export xmlns:x="urn:x"><x:Kopf><x:Datum>2026</x:Datum></x:Kopf>\n'
        b'<x:Retouren><x:Retoure Bestellnummer="A-1"><x:Be-Trag>12,50</x:Be-Trag><x:Lager>7</x:Lager></x:Retoure>'
        b'<x:Retoure Bestellnummer="A-2"><x:Be-Trag>1</x:Be-Trag></x:Retoure></x:Retouren></x:Export>'
    )
    columns = {"order_id": "Bestellnummer", "amount": "Betrag"}
    found = rows(content, columns=columns)
    assert [(row.place, dict(row.fields)) for row in found if isinstance(row, Row)] == [
        ("2", {"Bestellnummer": "A-1", "Betrag": "12,50", "Lager": "7"}),
        ("2:104", {"Bestellnummer": "A-2", "Betrag": "1"}),
    ]
    again = b"".join(rows_at_places(opened(content, columns=columns), {"2:104"}))
    assert [dict(row.fields)["Bestellnummer"] for row in rows(again, columns=columns) if isinstance(row, Row)] == [
        "A-2"
    ]
    assert again.startswith(content[: content.index(b"<x:Retoure ")])


def test_an_empty_document_is_a_day_without_returns() -> None:
    for content in (b"<modifications/>", b"<modifications>\n</modifications>"):
        assert rows(content) == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("<order_id>A-2</order_id>", "XML_FIELD_TWICE"),
        ("<skuu>7</skuu>", "UNKNOWN_FIELD"),
        ("stray", "XML_STRAY_TEXT"),
        ("<amount>1<b/>2</amount>", "XML_STRAY_TEXT"),
        ("<modification/>", "XML_ELEMENT"),
        ("<reference>1,23457E+12</reference>", "DAMAGED_ID"),
        (f"<note>{'x' * 10_001}</note>", "CELL_TOO_LONG"),
        ("<note>\x7f</note>", "NOT_TEXT"),
    ],
)
def test_a_wrong_record_is_refused_by_itself_and_given_back(more: str, code: str) -> None:
    content = document(record(), record("A-9", more), record("A-3"))
    assert codes(content) == ["", code, ""]
    given_back = b"".join(rows_at_places(opened(content), ()))
    assert given_back == document(record("A-9", more))


def test_an_amount_with_elements_inside_is_never_read_in_part() -> None:
    content = document("<r><nr>A-1</nr><betrag>1<b/>2</betrag></r>", "<r><nr>A-2</nr><betrag>3</betrag></r>")
    assert codes(content, columns={"order_id": "nr", "amount": "betrag"}) == ["XML_STRAY_TEXT", ""]


def test_a_misspelt_record_is_no_silent_nothing() -> None:
    assert codes(document(record(), record().replace("modification", "modificaton"))) == ["", "XML_ELEMENT"]


@pytest.mark.parametrize("cut", range(2, 260, 7))
def test_a_document_cut_off_loses_no_record(cut: int) -> None:
    content = document(*(record(f"A-{number}") for number in range(4)))[:-cut]
    found = rows(content) if b"<order_id>" in content and b"</modification>" in content else []
    if found:
        assert isinstance(found[-1], Unreadable) and found[-1].code == "XML_BROKEN"
        begun = len(re.findall(rb"<modification[ />]", content))
        assert begun <= len(found) <= begun + 1
        assert len({row.place for row in found}) == len(found)


def test_what_follows_a_break_is_refused_and_given_back() -> None:
    good, bad = record("A-1"), record("A-2").replace("</change>", "</chance>")
    content = document(good, bad, record("A-3"), record("A-4"))
    assert codes(content) == ["", "XML_BROKEN", "XML_BROKEN", "XML_BROKEN"]
    again = b"".join(rows_at_places(opened(content), ()))
    assert again == document(bad, record("A-3"), record("A-4"))
    corrected = again.replace(b"</chance>", b"</change>")
    assert codes(corrected) == ["", "", ""]


@given(
    st.lists(
        st.text(
            st.characters(
                codec="utf-8", max_codepoint=0x10EFFF, exclude_characters="\r", exclude_categories=["Cc", "Cs", "Cn"]
            ),
            max_size=8,
        ),
        max_size=12,
    )
)
def test_every_record_comes_out_once_with_its_own_text(orders: list[str]) -> None:
    from xml.sax.saxutils import escape

    records = [record(escape(f"A{order}Z")) for order in orders]
    found = rows(document(*records)) if records else []
    assert [row.raw for row in found] == records
    for row, order in zip(found, orders, strict=True):
        if isinstance(row, Row):
            assert row.fields["order_id"] == f"A{order}Z"


def test_signs_we_use_ourselves_come_back_as_they_came() -> None:
    content = document(record("A-\U0010ff41"), record("A-2"))
    assert codes(content) == ["ENCODING_UNCLEAR", ""]
    assert b"".join(rows_at_places(opened(content), ())) == document(record("A-\U0010ff41"))


HEAD = b'<?xml version="1.0"?>\n'
LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


@pytest.mark.parametrize(
    "content",
    [
        HEAD + LAUGHS + b"<modifications><modification><order_id>&b;</order_id></modification></modifications>",
        HEAD + b'<!DOCTYPE m SYSTEM "file:///etc/passwd"><modifications/>',
        HEAD + b'<!DOCTYPE m [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]><modifications/>',
        ("\ufeff<!DOCTYPE m [<!ENTITY x 'y'>]><modifications/>").encode("utf-16-le"),
    ],
)
def test_no_dtd_whatever_is_in_it(content: bytes) -> None:
    assert refused(content) == "XML_DTD"


def test_what_is_no_document_of_records() -> None:
    assert refused(b"<a><b>1</b></a>") == "XML_NO_RECORDS"
    assert refused(b"<a") == "XML_BROKEN"
    assert refused(b"<?xml version='1.0' encoding='klingon'?><a/>") == "ENCODING_UNCLEAR"
    assert refused(b"<a>" * 20_000) == "XML_TOO_DEEP"


@pytest.mark.slow
def test_hostile_documents_stay_within_memory_and_time(tmp_path: Path) -> None:
    first = b"<modifications>" + record().encode() + b"\n"
    bodies = {
        "deep": (b" " * (1 << 16) + b"<a>" * 1_000_000, "XML_BROKEN"),
        "long attribute": (b'<modification order_id="' + b"9" * (48 << 20) + b'"/></modifications>', "XML_BROKEN"),
        "long cell": (record("9" * (48 << 20)).encode() + b"</modifications>", "CELL_TOO_LONG"),
        "many fields": (
            b"<modification>" + b"<order_id/>" * 400_000 + b"</modification></modifications>",
            "XML_FIELD_TWICE",
        ),
        "one line": (record().encode() * 50_000 + b"</modifications>", ""),
        "late doctype": (LAUGHS, "XML_BROKEN"),
    }
    for name, (body, code) in bodies.items():
        path = tmp_path / "hostile.xml"
        path.write_bytes(first + body)
        said = hostile.read_in_subprocess(path, megabytes=300)
        assert said.get("codes", []) == ([code] if code else []), (name, said)
        assert said["megabytes"] < 64, (name, said)
