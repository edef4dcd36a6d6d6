import pytest
from hypothesis import given
from hypothesis import strategies as st

from retour.files import names


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("may.csv", ""),
        ("rejected_may.csv", ""),
        ("receipt_may.csv", "ours"),
        ("RESULT_may.csv.csv", "ours"),
        ("out/result_may.csv", "ours"),
        ("may.csv.tmp", "temporary"),
        ("may.PART", "temporary"),
        ("may.csv.filepart", "temporary"),
        (".may.csv.swp", "temporary"),
        ("~$may.xlsx", "temporary"),
        ("~may.csv", "temporary"),
    ],
)
def test_what_is_read(name: str, why: str) -> None:
    assert names.skip_reason(name) == why


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/etc/whoa", "whoa"),
        ("C:\\TEMP\\may.csv", "may.csv"),
        ("../../may.csv", "may.csv"),
        ("ma\r\ny\x00.csv", "ma__y_.csv"),
        ("...", "file"),
        ("", "file"),
        ("x" * 300 + ".csv", "x" * 146 + ".csv"),
    ],
)
def test_hostile_names(name: str, shown: str) -> None:
    assert names.safe_name(name) == shown


@given(st.text())
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    shown = names.safe_name(name)
    assert shown
    assert len(shown) <= names.NAME_CHARS_MAX
    assert not set(shown) & set("/\\\r\n\0")
    assert shown.strip(".")
    assert names.safe_name(shown) == shown


def test_answers_are_named_after_their_file() -> None:
    assert names.receipt_name("may.csv") == "receipt_may.csv"
    assert names.result_name("may.csv") == "result_may.csv.csv"
    assert names.rejected_name("may.csv") == "rejected_may.csv"
    assert names.rejected_name("may.csv.gz") == "rejected_may.csv"
    assert names.rejected_name("may.zip") == "rejected_may.zip.csv"
    assert not names.skip_reason(names.rejected_name("may.csv"))
    assert names.skip_reason(names.receipt_name("may.csv")) == names.skip_reason(names.result_name("may.csv")) == "ours"
