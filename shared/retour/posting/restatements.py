"""Skip restated records that contain nothing new (spec 4, Subjects)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from retour.domain.actions.codes import Code
from retour.domain.actions.modification import Modification, TakeBack
from retour.domain.actions.order import Order
from retour.domain.actions.outcome import Outcome
from retour.domain.actions.subjects import SubjectKey


def repeated_statements(order: Order, records: Sequence[Modification]) -> Mapping[str, Modification]:
    """The records of a delivery that repeat their subject's newest version, each with the record it repeats.

    Applies only if the version is the receipt; explicit versions are kept. All rows of the delivery about a subject are
    compared with all rows of that version.
    """
    known = {record.id for record in order.records}
    found: dict[str, Modification] = {}
    for key, told in group_by_subject(record for record in records if record.is_restatement).items():
        before = newest_version_records(order, key)
        if before and not any(record.id in known for record in told) and row_signatures(before) == row_signatures(told):
            found |= {record.id: before[0] for record in told}
    return found


def new_records(order: Order, records: Sequence[Modification]) -> Sequence[Modification]:
    said = repeated_statements(order, records)
    return [record for record in records if record.id not in said]


def has_news(order: Order, told: Sequence[Modification], *, at_reading: bool = False) -> bool:
    """Whether a sender's statements of a current state contain something not stated before.

    For an unknown subject, "nothing is taken back" is news only if the order has an action. With `at_reading`, versions
    are the time of our own reading, so a newer version with equal content is not news.
    """
    known = {record.identity for record in order.records}
    if any(record.subject_key is None and record.identity not in known for record in told):
        return True
    for key, of_subject in group_by_subject(told).items():
        before = newest_version_records(order, key)
        if not before and (order.actions or any(takes_something(record) for record in of_subject)):
            return True
        if before and adds_something(of_subject, before, at_reading):
            return True
    return False


def adds_something(told: Sequence[Modification], before: Sequence[Modification], at_reading: bool) -> bool:
    now, then = told[0].version, before[0].version
    assert now is not None
    assert then is not None
    differs = row_signatures(told) != row_signatures(before)
    return (now > then and (differs or not at_reading)) or (now == then and differs)


def takes_something(record: Modification) -> bool:
    return not (isinstance(record.change, TakeBack) and record.change.amount == 0)


def group_by_subject(records: Iterable[Modification]) -> Mapping[SubjectKey, list[Modification]]:
    found: dict[SubjectKey, list[Modification]] = defaultdict(list)
    for record in records:
        if record.subject_key is not None:
            found[record.subject_key].append(record)
    return found


def newest_version_records(order: Order, key: SubjectKey) -> list[Modification]:
    """The records of a subject's newest version, without those refused as invalid in themselves."""
    told = [record for record in order.records if record.subject_key == key and not is_refused(order, record)]
    newest = max((record.version for record in told if record.version is not None), default=None)
    return [record for record in told if record.version == newest]


def is_refused(order: Order, record: Modification) -> bool:
    booked = order.booking_of(record.id)
    return booked is not None and booked[1].outcome is Outcome.REFUSED and booked[1].code != Code.DISCARDED


def row_signatures(records: Sequence[Modification]) -> Counter[tuple[str | None, ...]]:
    return Counter((one.content, one.sku, one.line, one.action_id, one.event_type) for one in records)
