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
    assert names.skipped(name) == why


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
    assert names.safe(name) == shown


@given(st.text())
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    shown = names.safe(name)
    assert shown
    assert len(shown) <= names.LONGEST
    assert not set(shown) & set("/\\\r\n\0")
    assert shown.strip(".")
    assert names.safe(shown) == shown


def test_answers_are_named_after_their_file() -> None:
    assert names.receipt("may.csv") == "receipt_may.csv"
    assert names.result("may.csv") == "result_may.csv.csv"
    assert names.rejected("may.csv") == "rejected_may.csv"
    assert names.rejected("may.csv.gz") == "rejected_may.csv"
    assert names.rejected("may.zip") == "rejected_may.zip.csv"
    assert not names.skipped(names.rejected("may.csv"))
    assert names.skipped(names.receipt("may.csv")) == names.skipped(names.result("may.csv")) == "ours"
