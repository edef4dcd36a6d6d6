"""A source as a form with the fields of its channel; saving writes the program's next version."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from retour.console.labels import term
from retour.console.page_context import PageContext
from retour.console.request import Response, redirect
from retour.console.setup import versions
from retour.console.setup.versions import Proposal
from retour.domain.delivery import Channel
from retour.domain.senders import senders
from retour.normalise import AMOUNT_MEANS
from retour.setup.logins import fingerprint
from retour.views.sources import find_source

PROTOCOLS = ("sftp", "ftps", "ftp")
LINES, PAIRS, CHOICE, NUMBER, CHECK, TEXT = "lines", "pairs", "choice", "number", "check", "text"


@dataclass(frozen=True)
class Field:
    """A form field. `path` is its key in the source's body, `example` a correct value."""

    path: tuple[str, ...]
    label: str
    hint: str = ""
    kind: str = TEXT
    example: str = ""
    choices: Sequence[str] = ()
    needed: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def covers(self, key: str) -> bool:
        """Whether a path in the source's body is at or below this field."""
        return key == self.name or key.startswith((f"{self.name}[", f"{self.name}."))

    def is_missed(self, said: str) -> bool:
        return f"`{self.path[-1]}` is missing" in said

    def as_text(self, body: Mapping[str, Any]) -> str:
        """The field's value as text."""
        value: Any = body
        for part in self.path:
            value = value.get(part) if isinstance(value, Mapping) else None
        match value:
            case None | False:
                return ""
            case True:
                return "true"
            case Mapping():
                return "\n".join(f"{key} = {one}" for key, one in value.items())
            case list():
                return "\n".join(map(str, value))
        return str(value)

    def parse(self, typed: str) -> Any:
        """Parse the field's text; None if empty."""
        typed = typed.strip()
        lines = [line.strip() for line in typed.splitlines() if line.strip()]
        match self.kind:
            case "lines":
                return lines or None
            case "pairs":
                pairs = (line.partition("=")[::2] for line in lines)
                return {key.strip(): value.strip() for key, value in pairs} or None
            case "number":
                return int(typed) if typed.isascii() and typed.isdigit() else typed or None
            case "check":
                return typed == "true" or None
        return typed or None


PUBLIC_KEYS = Field(
    ("options", "public_keys"), term("Public keys of the sender"), term("One a line, as in the .pub file."), LINES,
    "ssh-ed25519 AAAA… warehouse",
)  # fmt: skip
HOST_KEYS = Field(
    ("options", "host_keys"), term("Host keys of the server"), term("SFTP only; the test shows the one to pin."), LINES,
    "ssh-ed25519 AAAA…",
)  # fmt: skip
CHANNEL_FIELDS: Mapping[Channel, tuple[Field, ...]] = {
    Channel.API: (
        Field(
            ("kind",), term("Who calls"), term("Retour’s own JSON, or a shop as it sends."), CHOICE,
            choices=tuple(senders()),
        ),
        Field(
            ("options", "webhook_id"), term("Webhook id at PayPal"),
            term("PayPal only; it is part of what PayPal signs."), example="1JE4291016473214C",
        ),
        Field(
            ("options", "callback"), term("Call back"), term("Where answers are posted; may stay empty."),
            example="https://erp.merchant.example/retour",
        ),
    ),
    Channel.SFTP: (PUBLIC_KEYS,),
    Channel.PULL: (
        Field(("options", "protocol"), term("Protocol"), kind=CHOICE, choices=PROTOCOLS, needed=True),
        Field(("options", "host"), term("Server"), example="ftp.merchant.example", needed=True),
        Field(("options", "port"), term("Port"), term("Empty: the usual one."), NUMBER, "22"),
        Field(("options", "user"), term("User"), example="retour", needed=True),
        Field(("options", "folder"), term("Folder"), term("Where the merchant leaves its files."), example="/out"),
        Field(
            ("options", "pattern"), term("File names"), term("* matches anything, ? one character."), example="*.csv"
        ),
        Field(("options", "at"), term("Polled at"), term("Every day, in the program’s time zone."), example="05:30"),
        Field(
            ("options", "result_folder"), term("Folder for answers"), term("Empty: no answers are left."), example="/in"
        ),
        HOST_KEYS,
    ),
    Channel.EMAIL: (
        Field(
            ("options", "allow_from"), term("Allowed senders"), term("One address a line."), LINES,
            "returns@shop.example", needed=True,
        ),
        Field(
            ("options", "accept_unauthenticated"),
            term("Hold mails that nothing proves (no DMARC) for a person, instead of dropping them"), kind=CHECK,
        ),
    ),
    Channel.SALESFORCE: (
        Field(("options", "org_id"), term("Id of the organisation"), example="00D5e000000abcdEAA", needed=True),
        Field(("options", "domain"), term("My Domain"), example="acme.my"),
        Field(("options", "object"), term("Object"), example="Case", needed=True),
        Field(("options", "username"), term("Integration user"), example="retour@acme.example"),
        Field(("options", "consumer_key"), term("Consumer key of the app"), term("It is no secret.")),
        Field(
            ("options", "fields"), term("Fields"), term("Retour’s field = API name of the record’s field."), PAIRS,
            "order_id = Order_Number__c", needed=True,
        ),
        Field(
            ("options", "statuses"), term("Statuses"), term("Status of the record = what it means."), PAIRS,
            "Returned = reverse", needed=True,
        ),
    ),
}  # fmt: skip
AMOUNT = Field(
    ("amount_means",), term("Amount means"),
    term("Retour never guesses: the new total, what came back, or a signed difference."), CHOICE, choices=AMOUNT_MEANS,
)  # fmt: skip
REASON = Field(("default_reason",), term("Reason if none is given"), kind=CHOICE)
EXPECTED = Field(
    ("expected_by",), term("Expected by"), term("You are notified if nothing has arrived by then."), example="06:00"
)


def fields_of(context: PageContext, channel: Channel) -> Iterator[Field]:
    yield Field(
        ("event_type",),
        term("Event type"),
        term("Of records that name none."),
        CHOICE,
        choices=tuple(context.program.event_types),
    )
    yield from CHANNEL_FIELDS[channel]
    yield AMOUNT
    yield replace(REASON, choices=sorted(context.program.reasons))
    yield EXPECTED


@dataclass(frozen=True)
class SourceForm:
    """A source being edited. `wrong` has the errors by field."""

    channel: Channel
    name: str
    is_new: bool
    fields: Sequence[Field]
    typed: Mapping[str, str]
    proposal: Proposal | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)

    def body(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """The source's new body. Keys without a field stay."""
        body: dict[str, Any] = {"channel": self.channel.value, **before}
        options = {**body.get("options", {})}
        for one in self.fields:
            value = one.parse(self.typed.get(one.name, ""))
            place = options if one.path[0] == "options" else body
            place.pop(one.path[-1], None)
            if value is not None:
                place[one.path[-1]] = value
        body.pop("options", None)
        return {**body, "options": options} if options else body


def new_page(context: PageContext) -> Response:
    channel = requested_channel(context, context.request.query.get("channel", ""))
    typed = {"event_type": context.request.query.get("event_type", "")}
    return render_form(context, SourceForm(channel, "", True, [*fields_of(context, channel)], typed))


def edit_page(context: PageContext) -> Response:
    found = find_source(context.program, context.part["source"])
    body = versions.in_force(context).document["sources"][found.name]
    fields = [*fields_of(context, found.channel)]
    typed = {one.name: one.as_text(body) for one in fields}
    if (pin := context.request.query.get("pin", "")) and fingerprint(pin):
        typed[HOST_KEYS.name] = f"{typed.get(HOST_KEYS.name, '')}\n{pin}".strip()
    return render_form(context, SourceForm(found.channel, found.name, False, fields, typed))


def save(context: PageContext) -> Response:
    """Preview, then apply the next version. Errors are shown at their fields."""
    form = context.request.form
    is_new = "source" not in context.part
    if is_new:
        name, channel = form.get("name", "").strip(), requested_channel(context, form.get("channel", ""))
    else:
        found = find_source(context.program, context.part["source"])
        name, channel = found.name, found.channel
    typed = {key: value.replace("\r\n", "\n") for key, value in form.items()}
    filled = SourceForm(channel, name, is_new, [*fields_of(context, channel)], typed)
    document = versions.in_force(context).document
    sources = document.get("sources", {})
    if is_new and (wrong := name_error(context, name, sources)):
        return render_form(context, replace(filled, wrong={"name": wrong}))
    wanted = {**document, "sources": {**sources, name: filled.body(sources.get(name, {}))}}
    text = versions.with_document(context, wanted)
    proposal = versions.apply_version(context, text) if form.get("step") == "save" else versions.propose(context, text)
    if isinstance(proposal, Response):
        return proposal if proposal.status != 303 else redirect(f"{context.base}/setup/sources/{name}")
    return render_form(context, replace(filled, wrong=errors_by_field(filled, proposal), proposal=proposal))


def name_error(context: PageContext, name: str, taken: Mapping[str, Any]) -> str:
    """Why a new source cannot have this name."""
    if not name:
        return context.words.say("Give it a name, such as warehouse.")
    if name in taken:
        return context.words.say("There is a source of this name already.")
    return ""


def errors_by_field(form: SourceForm, proposal: Proposal) -> dict[str, str]:
    """Errors by field; all others are shown above the form."""
    found: dict[str, str] = {}
    for fault in proposal.faults:
        key, said = str(fault["key"]).removeprefix(f"sources.{form.name}").lstrip("."), str(fault["detail"])
        places = (one.name for one in form.fields if one.covers(key) or (one.needed and one.is_missed(said)))
        found.setdefault(next(places, "name" if not key and form.is_new else ""), said)
    return found


def requested_channel(context: PageContext, name: str) -> Channel:
    found = next((one for one in CHANNEL_FIELDS if one.value == name), None)
    if found is None:
        raise context.not_found()
    return found


def render_form(context: PageContext, form: SourceForm) -> Response:
    status = 422 if form.wrong else form.proposal.status if form.proposal else 200
    return context.render("source_form.html", status, form=form)
