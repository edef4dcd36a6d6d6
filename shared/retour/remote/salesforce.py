"""A merchant's Salesforce, over unmodified simple-salesforce: read records back, find what changed, write the outcome.

Around the library: a deadline on every call (it has none, not even for the login), calls that log in again at most
three times (its `Salesforce.restful` and `query` do, its record types do not), TLS to *.salesforce.com only.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from retour.domain.times import format_instant, parse_instant
from retour.remote import RemoteError, sanitise_message

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

API_VERSION = "63.0"
IDS_MAX = 200
PAGE_SIZE = 500
WRITES_MAX = 200
# The first reconcile of a source looks back so far, by the organisation's own clock.
FIRST_LOOKBACK_DAYS = 35
# Above this share of the organisation's daily calls, what can wait waits.
USAGE_LIMIT = Decimal("0.8")
_DOMAIN = re.compile(r"login|test|[a-z0-9-]+(?:\.[a-z0-9-]+)?\.my")
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.salesforce\.com")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_RETRY_CODES = {
    "UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "CONCURRENT_REQUESTS_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE",
    "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one record's write-back. `later`: the same again may work."""

    record: str
    ok: bool
    later: bool = False
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The last record seen, in the order of (SystemModstamp, Id)."""

    modified: datetime
    record: str


class SalesforceHttpAdapter(HTTPAdapter):
    """HTTPS to *.salesforce.com and nowhere else, with a deadline on every request.

    `connect` ("127.0.0.1:8443") is where the local hub's simulator listens: the connection goes there, while Host,
    SNI and the certificate check keep the name that was asked for.
    """

    def __init__(self, connect: str | None, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._connect = connect
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        host = urlsplit(str(request.url)).hostname or ""
        if not _HOST.fullmatch(host):
            raise requests.exceptions.InvalidURL(f"{host} is not a host of Salesforce")
        if self._connect:
            request.headers["Host"] = host
        kwargs["timeout"] = kwargs.get("timeout") or self._timeout
        return super().send(request, **kwargs)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host_params: dict[str, Any]
        pool_kwargs: dict[str, Any]
        host_params, pool_kwargs = super().build_connection_pool_key_attributes(request, verify, cert)  # type: ignore[assignment]
        if self._connect:
            name = host_params["host"]
            address, _, port = self._connect.rpartition(":")
            host_params |= {"host": address, "port": int(port)}
            pool_kwargs |= {"server_hostname": name, "assert_hostname": name}
        return host_params, pool_kwargs


def make_session(connect: str | None, ca: str | None, timeout: tuple[float, float]) -> requests.Session:
    """A session for Salesforce alone. Proxies, certificates and .netrc of the environment have no say."""
    session = requests.Session()
    session.trust_env = False
    session.verify = ca or True
    session.adapters.clear()
    session.mount("https://", SalesforceHttpAdapter(connect, timeout))
    return session


def parse_domain(written: str) -> str:
    """`acme.my`, `acme--uat.sandbox.my`, `login` or `test`, however written; else a lasting RemoteError."""
    domain = written.strip().lower().removeprefix("https://").rstrip("/").removesuffix(".salesforce.com")
    if not _DOMAIN.fullmatch(domain):
        raise _refused_error(
            f"{written!r} is no Salesforce domain: write the My Domain, such as acme.my, or login or test"
        )
    return domain


@lru_cache(maxsize=64)
def client_for(
    domain: str,
    username: str,
    consumer_key: str,
    private_key: str,
    *,
    connect: str | None = None,
    ca: str | None = None,
    timeout: tuple[float, float] = (3.05, 10.0),
) -> "SalesforceClient":
    """The client of one integration user, kept while the process lives so that one login serves many calls."""
    return SalesforceClient(
        parse_domain(domain), username, consumer_key, private_key, make_session(connect, ca, timeout)
    )


class SalesforceClient:
    """Logs in at the first call, by a JWT signed with the source's private key."""

    def __init__(self, domain: str, username: str, consumer_key: str, private_key: str, http: requests.Session) -> None:
        self._login = (domain, username, consumer_key, private_key)
        self._http = http
        self._salesforce: Salesforce | None = None

    def read(self, name: str, paths: Iterable[str], ids: Sequence[str]) -> list[dict[str, Any]]:
        """These records as they are now; the missing and deleted are left out."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), IDS_MAX):
            found += self._query(_select(name, paths) + " WHERE Id IN {ids}", ids=list(ids[start : start + IDS_MAX]))
        return found

    def modified_since(
        self,
        name: str,
        paths: Sequence[str],
        since: datetime | None,
        after: PageCursor | None = None,
        page: int = PAGE_SIZE,
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of records modified since then, oldest first; `after` goes on where an earlier reading stopped.

        Each page is a query of its own that begins behind the last record of the one before: equal stamps of a bulk
        update lose nothing, and what changes meanwhile comes up again later.
        """
        while True:
            if after:
                behind = "(SystemModstamp = {at:literal} AND Id > {id}) OR SystemModstamp > {at:literal}"
                values = {"at": format_instant(after.modified), "id": after.record}
            else:
                behind = "SystemModstamp >= {at:literal}"
                values = {"at": format_instant(since) if since else f"LAST_N_DAYS:{FIRST_LOOKBACK_DAYS}"}
            soql = f"{_select(name, paths)} WHERE {behind} ORDER BY SystemModstamp, Id LIMIT {page}"
            records = self._query(soql, **values)
            if records:
                yield records
            if len(records) < page:
                return
            after = PageCursor(parse_instant(records[-1]["SystemModstamp"]), records[-1]["Id"])

    def children_of(self, name: str, paths: Iterable[str], parent: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The records whose parent, by this relationship, is one of these."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), IDS_MAX):
            soql = f"{_select(name, paths)} WHERE {_checked_name(parent)}.Id IN {{ids}}"
            found += self._query(soql, ids=list(ids[start : start + IDS_MAX]))
        return found

    def children_modified_since(
        self, name: str, paths: Iterable[str], parent: str, since: datetime
    ) -> list[dict[str, Any]]:
        """The records whose parent, by this relationship, was modified since then."""
        soql = f"{_select(name, paths)} WHERE {_checked_name(parent)}.SystemModstamp >= {{at:literal}} ORDER BY Id"
        return self._query(soql, at=format_instant(since))

    def deleted_since(self, name: str, since: datetime) -> list[dict[str, Any]]:
        """What was deleted since then, or merged into another record: ids and stamps, while the recycle bin has it."""
        soql = f"SELECT Id, SystemModstamp, IsDeleted FROM {_checked_name(name)} WHERE IsDeleted = TRUE AND "
        return self._query(soql + "SystemModstamp >= {at:literal} ORDER BY Id", True, at=format_instant(since))

    def write(self, name: str, fields: Mapping[str, Mapping[str, str]]) -> list[WriteResult]:
        """Write fields to records by id, at most 200 in one call; one result a record, in order."""
        if len(fields) > WRITES_MAX:
            raise ValueError(f"{len(fields)} records in one write, at most {WRITES_MAX} go")
        records = [{"attributes": {"type": _checked_name(name)}, "id": id, **values} for id, values in fields.items()]
        body = {"allOrNone": False, "records": records}
        answer = self._call(lambda sf: sf.restful("composite/sobjects", method="PATCH", json=body))
        if not isinstance(answer, list) or len(answer) != len(records):
            raise _unavailable_error("the answer does not match the records written")
        return [_write_result(record, result) for record, result in zip(fields, answer, strict=True)]

    def log_in(self) -> None:
        """A new token; RemoteError when none is given."""
        self._salesforce = None
        self._call(lambda sf: sf.session_id)

    def fields(self, name: str) -> dict[str, bool]:
        """The fields of an object that this user sees, and whether it may change each."""
        described = self._call(lambda sf: sf.restful(f"sobjects/{_checked_name(name)}/describe"))
        return {field["name"]: bool(field.get("updateable")) for field in described["fields"]}

    def probe(self, name: str, paths: Iterable[str]) -> int:
        """One record by these paths, or none; RemoteError where one of them leads nowhere."""
        return len(self._query(_select(name, paths) + " LIMIT 1"))

    @property
    def usage(self) -> Decimal:
        """The share of the organisation's calls of the last 24 hours, as the last answer told it."""
        usage = self._salesforce.api_usage.get("api-usage") if self._salesforce else None
        return Decimal(usage.used) / usage.total if usage and usage.total else Decimal(0)

    def _query(self, soql: str, deleted: bool = False, /, **values: Any) -> list[dict[str, Any]]:
        """All that a query finds; `deleted_since`: also in the recycle bin."""
        from simple_salesforce.format import format_soql

        query = format_soql(soql, **values)
        return self._call(  # type: ignore[no-any-return]
            lambda sf: list(sf.query_all_iter(query, include_deleted=deleted))
        )

    def _call(self, ask: Any) -> Any:
        from simple_salesforce import exceptions

        try:
            return ask(self._connected())
        except exceptions.SalesforceAuthenticationFailed as error:
            self._salesforce = None
            # 5xx and rate limits at the login come as the same class, with the status as code.
            if isinstance(error.code, int) and (error.code >= 500 or error.code == 429):
                raise _unavailable_error(f"login: {error.code}") from error
            raise _refused_error(f"login refused: {error.code} {error.auth_message}") from error
        except exceptions.SalesforceExpiredSession as error:
            self._salesforce = None
            raise _unavailable_error("the session expired again and again") from error
        except exceptions.SalesforceError as error:
            code, message = _first_error(error.content)
            if error.status >= 500 or error.status in (408, 429) or code in _RETRY_CODES:
                raise _unavailable_error(f"{error.status} {code}") from error
            raise _refused_error(f"{error.status} {code} {message}") from error
        except requests.exceptions.InvalidURL as error:
            self._salesforce = None
            raise _refused_error(str(error)) from error
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            # The library trips over a 401 or a login answer that is not JSON of the known shape.
            self._salesforce = None
            raise _unavailable_error(f"{type(error).__name__}: the answer could not be read") from error

    def _connected(self) -> "Salesforce":
        if self._salesforce is None:
            from simple_salesforce.api import Salesforce

            domain, username, consumer_key, private_key = self._login
            _check_key(private_key)
            # The token is asked for at My Domain; its audience is the login host of production or of sandboxes.
            sandbox = domain == "test" or "--" in domain
            self._salesforce = Salesforce(
                username=username,
                consumer_key=consumer_key,
                privatekey=private_key,
                domain="test" if sandbox else "login",
                instance_url=None if domain in ("login", "test") else domain,
                session=self._http,
                version=API_VERSION,
                client_id="retour",
                parse_float=Decimal,
            )
        return self._salesforce


def _unavailable_error(why: str) -> RemoteError:
    """It cannot answer now (network, 5xx, limits, locks): the same again later may work."""
    return RemoteError("SALESFORCE_UNAVAILABLE", said=sanitise_message(why))


def _refused_error(why: str) -> RemoteError:
    """It answered no: wrong credentials, an unknown field, no permission."""
    return RemoteError("SALESFORCE_REFUSED", lasting=True, said=sanitise_message(why))


def _check_key(pem: str) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused_error("the private key of this source is no PEM key without a passphrase") from error


def _select(name: str, paths: Iterable[str]) -> str:
    columns = dict.fromkeys(("Id", "SystemModstamp", *map(_checked_name, paths)))
    return f"SELECT {', '.join(columns)} FROM {_checked_name(name)}"


def _checked_name(name: str) -> str:
    """An API name as it may stand in a query."""
    if not _NAME.fullmatch(name):
        raise _refused_error(f"{name!r} is no API name of a field or object")
    return name


def _write_result(record: str, result: Mapping[str, Any]) -> WriteResult:
    if result.get("success"):
        return WriteResult(record, ok=True)
    errors = result.get("errors") or [{}]
    code = str(errors[0].get("statusCode", ""))
    return WriteResult(
        record, ok=False, later=code in _RETRY_CODES, code=code, message=str(errors[0].get("message", ""))[:300]
    )


def _first_error(content: Any) -> tuple[str, str]:
    """Code and message of an error answer: a list of them, or a text."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return str(content[0].get("errorCode", "")), str(content[0].get("message", ""))
    return "", ""
