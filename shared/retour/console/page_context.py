"""The context of a page: the request, the person with their permissions, and rendering."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup

from retour.console import labels
from retour.console.people import PERMISSIONS, Person
from retour.console.request import Request, Response, html_response
from retour.console.words import Words
from retour.context import Context
from retour.domain.calendar import local_day
from retour.domain.program import Program
from retour.errors import RequestError
from retour.languages import languages
from retour.store.programs import ANY_PROGRAM, Principal
from retour.views.ledger_reader import LedgerReader
from retour.wiring import Hub

HERE = Path(__file__).parent
STATIC = HERE / "static"
THEMES = ("auto", "light", "dark")
NOT_FOUND, SERVER_ERROR = 404, 500
REFERENCE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


class AbortError(Exception):
    """A response that ends a view early: not found, not allowed, login required."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@cache
def static_names() -> Mapping[str, str]:
    """The URLs of static files, which contain a hash of their content."""
    return {path.name: hashed_name(path) for path in STATIC.iterdir() if path.is_file()}


def hashed_name(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    return f"{path.stem}.{digest}{path.suffix}"


class OptionalFact(StrictUndefined):
    """An optional field of a document: it can be tested, but rendering it is an error."""

    __bool__ = Undefined.__bool__  # type: ignore[assignment]


@cache
def templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=OptionalFact,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["path"] = lambda text: quote(str(text), safe="")
    environment.filters["mark"] = lambda text: hashlib.sha256(str(text).encode("utf-8", "replace")).hexdigest()[:8]
    environment.globals["static"] = lambda name: f"/static/{static_names()[name]}"
    environment.globals["icon"] = icon
    return environment


def icon(name: str) -> Markup:
    return Markup('<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>').format(name)


@dataclass(frozen=True)
class PageContext:
    """`part` has the parameters of the path. Pages without a program are about the hub, or a partner's."""

    hub: Hub
    request: Request
    words: Words
    part: Mapping[str, str] = field(default_factory=dict)
    person: Person | None = None
    opened: Program | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def reference(self) -> str:
        """A reference for an error report that finds the request in the log."""
        return "-".join("".join(secrets.choice(REFERENCE_LETTERS) for _ in range(4)) for _ in range(2))

    @property
    def program(self) -> Program:
        assert self.opened is not None
        return self.opened

    @property
    def signed_in_person(self) -> Person:
        assert self.person is not None
        return self.person

    @property
    def principal(self) -> Principal:
        """The person as a caller of commands, limited to this program."""
        role = next(iter(self.signed_in_person.roles(self.program.id)), "")
        return Principal(self.program.id, role, self.signed_in_person.name)

    @property
    def localized_program(self) -> Program:
        """The program in the reader's language."""
        return replace(self.program, language=self.words.language)

    @property
    def base(self) -> str:
        return f"/console/{self.program.id}"

    def may(self, what: str) -> bool:
        return self.person is not None and self.opened is not None and self.person.may(what, self.opened.id)

    @cached_property
    def reader(self) -> LedgerReader:
        hub = self.hub
        return LedgerReader(self.program, hub.ledger(self.program), hub.deliveries(self.program.id), hub.now())

    @property
    def today(self) -> date:
        return local_day(self.hub.now(), self.program.time_zone)

    @property
    def command_context(self) -> Context[Hub]:
        """The context of commands. A form's id makes them idempotent."""
        key = self.request.form.get("form", "")
        return Context(ports=self.hub, program=self.program, caller=self.principal, key=key)

    # Pages

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        return html_response(self.html(template, **values), status)

    def html(self, template: str, **values: Any) -> str:
        return templates().get_template(template).render(**self.context(), **values)

    def context(self) -> dict[str, Any]:
        words = self.words
        return {
            "_": words.say,
            "n_": words.count,
            "w": words,
            "v": self,
            "labels": labels,
            "label": lambda kind, name: labels.label(words, kind, name),
            "theme": self.theme,
            "density": "compact" if self.request.cookies.get("retour_rows") == "compact" else "",
            "keys_off": self.request.cookies.get("retour_keys") == "off",
            "languages": {code: one.name for code, one in languages().items()},
            "form_id": secrets.token_urlsafe(12),
        }

    @property
    def theme(self) -> str:
        chosen = self.request.cookies.get("retour_theme", "auto")
        return chosen if chosen in THEMES else "auto"

    @cached_property
    def programs(self) -> list[str]:
        """The programs in the program switch."""
        person = self.person
        if person is None:
            return []
        if person.sees_all:
            return self.hub.programs.ids()
        return sorted(
            {
                grant.program
                for grant in person.grants
                if "see" in PERMISSIONS[grant.role] and grant.program != ANY_PROGRAM
            }
        )

    def here(self, **changes: str | None) -> str:
        """This URL with some of its query changed; None removes a parameter."""
        query = {**self.request.query, **changes}
        kept = {name: value for name, value in query.items() if value}
        return self.request.path + (f"?{urlencode(kept)}" if kept else "")

    # Guards

    def check_csrf(self) -> None:
        """Require the session's CSRF token."""
        sent = self.request.form.get("csrf", "")
        if hmac.compare_digest(sent.encode(), self.signed_in_person.csrf.encode()):
            return
        if self.request.headers.get("sec-fetch-site") == "same-origin" and not self.request.uploads:
            fields = {name: value for name, value in self.request.form.items() if name != "csrf"}
            raise AbortError(self.render("again.html", 403, fields=fields))
        raise AbortError(self.problem(403, self.words.say("This form belongs to another session. Reload the page.")))

    def check_origin(self) -> None:
        """Require the form to come from our own origin, before anybody is signed in."""
        headers = self.request.headers
        site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin", self.request.address)
        if site not in ("same-origin", "none") or origin != self.request.address:
            raise AbortError(self.problem(403, self.words.say("This form was sent from another website.")))

    def require(self, what: str) -> None:
        if not self.may(what):
            raise AbortError(self.problem(403, labels.permission_sentence(self.words, what)))

    def not_found(self) -> AbortError:
        return AbortError(self.problem(404, self.words.say("Not found, or you have no access to it.")))

    def problem(self, status: int, what: str, reference: str = "", title: str = "") -> Response:
        title = title or labels.problem_title(self.words, status)
        retry = status >= SERVER_ERROR and self.request.method == "GET"
        return self.render("problem.html", status, title=title, what=what, reference=reference, retry=retry)

    def refusal(self, refused: RequestError) -> Response:
        """An API error as a page with its title and sentence. Missing things look alike."""
        if refused.status == NOT_FOUND:
            return self.not_found().response
        title = refused.title(self.words.language)
        return self.problem(refused.status, self.explain(refused), title=title)

    def explain(self, refused: RequestError) -> str:
        """The message of an API error."""
        return refused.sentence(self.words.language)
