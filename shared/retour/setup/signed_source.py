"""What a source of kind `signed` declares, judged as far as its schema cannot: that it can be read and can work."""

from collections.abc import Iterator, Mapping
from typing import Any

from retour.channels import json_path
from retour.channels.signature_scheme import PUBLIC_KEY_ALGORITHMS, public_key_error, signed_parts, unknown_part
from retour.channels.signed import HEADER_PLACE, texts
from retour.domain.phrase import Sentence

Path = tuple[str | int, ...]
KEYS = ("signature", "events", "delivery_id")
"""The options that only this kind has."""
GIVES_BACK = ("nothing", "restore")
AMOUNT_FIELDS = ("amount", "quantity", "order_total")
KEY_FAULTS = {
    "unreadable": "FAULT_PUBLIC_KEY_UNREADABLE",
    "another": "FAULT_PUBLIC_KEY_ANOTHER",
    "short": "FAULT_PUBLIC_KEY_SHORT",
}


def signed_source_faults(source: Mapping[str, Any]) -> Iterator[tuple[Path, Sentence]]:
    """Each fault with its place below the source."""
    options: Mapping[str, Any] = source.get("options", {})
    if source.get("kind") != "signed":
        for key in [key for key in KEYS if key in options]:
            yield ("options", key), Sentence("FAULT_ONLY_SIGNED", {"key": key})
        return
    for key in [key for key in ("signature", "events") if key not in options]:
        yield ("options",), Sentence("FAULT_SIGNED_NEEDS", {"key": key})
    if "signature" in options:
        yield from _signature_faults(options["signature"])
    if "delivery_id" in options:
        yield from _place_fault(("options", "delivery_id"), options["delivery_id"])
    for number, event in enumerate(options.get("events", ())):
        for inner, what in _event_faults(event, source):
            yield ("options", "events", number, *inner), what


def _signature_faults(signature: Mapping[str, Any]) -> Iterator[tuple[Path, Sentence]]:
    path: Path = ("options", "signature")
    signs = signature.get("signs", "{body}")
    if wrong := unknown_part(signs):
        yield (*path, "signs"), Sentence("FAULT_SIGNS_UNKNOWN", {"part": wrong})
        return
    parts = signed_parts(signs)
    if "body" not in parts:
        yield (*path, "signs"), Sentence("FAULT_SIGNS_NO_BODY")
    timed = "timestamp" in signature or "timestamp" in signature.get("parts", {})
    if "timestamp" in parts and not timed:
        yield (*path, "signs"), Sentence("FAULT_SIGNS_FROM_WHERE", {"part": "timestamp"})
    if timed and "timestamp" not in parts:
        yield (*path, "signs"), Sentence("FAULT_TIME_UNSIGNED")
    if "id" in parts and "id" not in signature:
        yield (*path, "signs"), Sentence("FAULT_SIGNS_FROM_WHERE", {"part": "id"})
    algorithm, keys = signature.get("algorithm", "hmac-sha256"), signature.get("public_keys", ())
    if algorithm in PUBLIC_KEY_ALGORITHMS and not keys:
        yield path, Sentence("FAULT_PUBLIC_KEYS_MISSING", {"algorithm": algorithm})
    if algorithm not in PUBLIC_KEY_ALGORITHMS and keys:
        yield (*path, "public_keys"), Sentence("FAULT_PUBLIC_KEYS_UNUSED", {"algorithm": algorithm})
        return
    for number, key in enumerate(keys):
        if wrong := public_key_error(algorithm, key):
            yield (*path, "public_keys", number), Sentence(KEY_FAULTS[wrong], {"algorithm": algorithm})


def _event_faults(event: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[tuple[Path, Sentence]]:
    fields: Mapping[str, Any] = event["fields"]
    for place in event.get("when", {}):
        if not place.startswith(HEADER_PLACE):
            yield from _place_fault(("when", place), place)
    yield from _place_fault(("records",), event.get("records", "$"))
    for number, name in enumerate(event.get("names", ())):
        yield from _text_fault(("names", number), name)
        if ":" not in name.partition("{")[0]:
            yield ("names", number), Sentence("FAULT_NAME_WITHOUT_KIND", {"name": name})
    for field, said in fields.items():
        for place in texts(said):
            yield from _text_fault(("fields", field), place.removeprefix("-") if field in AMOUNT_FIELDS else place)
    if "order_id" not in fields and "action_id" not in fields and not event.get("names"):
        yield ("fields",), Sentence("FAULT_EVENT_NO_ORDER")
    if event.get("minor_units") and "currency" not in fields and "currency" not in source:
        yield ("minor_units",), Sentence("FAULT_MINOR_UNITS_OF_WHAT")
    if event.get("tells") == "names":
        if not event.get("names"):
            yield ("tells",), Sentence("FAULT_EVENT_NO_NAMES")
        return
    yield from _state_faults(event, source)


def _state_faults(event: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[tuple[Path, Sentence]]:
    """Either the sender tells a state, and each has its meaning, or all records ask for one change."""
    fields, change = event["fields"], event.get("change")
    statuses = {**source.get("mapping", {}).get("statuses", {}), **event.get("statuses", {})}
    if ("status" in fields) == (change is not None):
        yield ("fields",), Sentence("FAULT_STATE_OR_CHANGE")
        return
    if "status" in fields and not statuses:
        yield ("fields", "status"), Sentence("FAULT_STATES_MISSING")
    if "subject" not in fields and ("status" in fields or change in GIVES_BACK):
        yield ("fields",), Sentence("FAULT_EVENT_NO_SUBJECT")
    wanted = {*statuses.values(), *([change] if change else [])} & {"take_back", "set_total", "set_quantity"}
    if wanted and not {"amount", "quantity"} & fields.keys():
        yield ("fields",), Sentence("FAULT_EVENT_NO_AMOUNT", {"change": sorted(wanted)[0]})
    ranked = [state for equals in event.get("ranks", ()) for state in texts(equals)]
    unranked = [state for state in event.get("statuses", {}) if state not in ranked] if ranked else []
    for state in unranked:
        yield ("ranks",), Sentence("FAULT_STATE_UNRANKED", {"state": state})
    for state in {state for state in ranked if ranked.count(state) > 1}:
        yield ("ranks",), Sentence("FAULT_STATE_RANKED_TWICE", {"state": state})


def _place_fault(path: Path, place: str) -> Iterator[tuple[Path, Sentence]]:
    if wrong := json_path.path_error(place):
        yield path, Sentence("FAULT_NO_PLACE", {"place": place, "problem": wrong})


def _text_fault(path: Path, text: str) -> Iterator[tuple[Path, Sentence]]:
    if wrong := json_path.template_error(text):
        yield path, Sentence("FAULT_NO_PLACE", {"place": text, "problem": wrong})
