"""Salesforce by simple-salesforce: read records back, find changed ones, write outcomes.

Adds to the library: a timeout for every request (it has none, not even for the login), at most three logins per call
(`Salesforce.restful` and `query` log in again, its record types do not), and TLS to *.salesforce.com only.
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
# How far the first reconcile of a source looks back, by the organisation's clock.
FIRST_LOOKBACK_DAYS = 35
# Above this share of the organisation's daily API calls, deferrable work waits.
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
    """The result of one record's write-back. `later`: a retry may work."""

    record: str
    ok: bool
    later: bool = False
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The last record read, in the order of (SystemModstamp, Id)."""

    modified: datetime
    record: str


class SalesforceHttpAdapter(HTTPAdapter):
    """HTTPS to *.salesforce.com only, with a timeout for every request.

    `connect` ("127.0.0.1:8443") redirects connections to the local hub's simulator. Host, SNI and certificate check
    keep the requested name.
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
    """A session that ignores proxies, certificates and .netrc of the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = ca or True
    session.adapters.clear()
    session.mount("https://", SalesforceHttpAdapter(connect, timeout))
    return session


def parse_domain(written: str) -> str:
    """`acme.my`, `acme--uat.sandbox.my`, `login` or `test` in any notation. Raises a lasting RemoteError otherwise."""
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
    """The client of an integration user, cached per process so that one login serves many calls."""
    return SalesforceClient(
        parse_domain(domain), username, consumer_key, private_key, make_session(connect, ca, timeout)
    )


class SalesforceClient:
    """Logs in on the first call, with a JWT signed by the source's private key."""

    def __init__(self, domain: str, username: str, consumer_key: str, private_key: str, http: requests.Session) -> None:
        self._login = (domain, username, consumer_key, private_key)
        self._http = http
        self._salesforce: Salesforce | None = None

    def read(self, name: str, paths: Iterable[str], ids: Sequence[str]) -> list[dict[str, Any]]:
        """Read records by id. Missing and deleted ones are left out."""
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
        """Pages of records modified since a time, oldest first; `after` resumes behind a page.

        Each page is a query of its own behind the last record of the one before. Equal stamps after a bulk update are
        not lost, and records changed meanwhile appear again later.
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
        """Records whose parent, by this relationship, is one of `ids`."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), IDS_MAX):
            soql = f"{_select(name, paths)} WHERE {_checked_name(parent)}.Id IN {{ids}}"
            found += self._query(soql, ids=list(ids[start : start + IDS_MAX]))
        return found

    def children_modified_since(
        self, name: str, paths: Iterable[str], parent: str, since: datetime
    ) -> list[dict[str, Any]]:
        """Records whose parent, by this relationship, was modified since a time."""
        soql = f"{_select(name, paths)} WHERE {_checked_name(parent)}.SystemModstamp >= {{at:literal}} ORDER BY Id"
        return self._query(soql, at=format_instant(since))

    def deleted_since(self, name: str, since: datetime) -> list[dict[str, Any]]:
        """Ids and stamps of records deleted or merged since a time, as long as the recycle bin has them."""
        soql = f"SELECT Id, SystemModstamp, IsDeleted FROM {_checked_name(name)} WHERE IsDeleted = TRUE AND "
        return self._query(soql + "SystemModstamp >= {at:literal} ORDER BY Id", True, at=format_instant(since))

    def write(self, name: str, fields: Mapping[str, Mapping[str, str]]) -> list[WriteResult]:
        """Write fields of up to 200 records by id in one call. One result per record, in order."""
        if len(fields) > WRITES_MAX:
            raise ValueError(f"{len(fields)} records in one write, at most {WRITES_MAX} go")
        records = [{"attributes": {"type": _checked_name(name)}, "id": id, **values} for id, values in fields.items()]
        body = {"allOrNone": False, "records": records}
        answer = self._call(lambda sf: sf.restful("composite/sobjects", method="PATCH", json=body))
        if not isinstance(answer, list) or len(answer) != len(records):
            raise _unavailable_error("the answer does not match the records written")
        return [_write_result(record, result) for record, result in zip(fields, answer, strict=True)]

    def log_in(self) -> None:
        """Request a new token. Raises RemoteError if it is refused."""
        self._salesforce = None
        self._call(lambda sf: sf.session_id)

    def fields(self, name: str) -> dict[str, bool]:
        """The fields of an object visible to this user, each with whether it is writable."""
        described = self._call(lambda sf: sf.restful(f"sobjects/{_checked_name(name)}/describe"))
        return {field["name"]: bool(field.get("updateable")) for field in described["fields"]}

    def probe(self, name: str, paths: Iterable[str]) -> int:
        """Read one record with these paths, if there is any. Raises RemoteError for an unknown path."""
        return len(self._query(_select(name, paths) + " LIMIT 1"))

    @property
    def usage(self) -> Decimal:
        """The organisation's API usage of the last 24 hours as a share, by the latest response."""
        usage = self._salesforce.api_usage.get("api-usage") if self._salesforce else None
        return Decimal(usage.used) / usage.total if usage and usage.total else Decimal(0)

    def _query(self, soql: str, deleted: bool = False, /, **values: Any) -> list[dict[str, Any]]:
        """All records of a query; `deleted` includes the recycle bin."""
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
            # 5xx and rate limits at the login raise the same class, with the status as code.
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
            # The library raises such errors for a 401 or a login response that is not the expected JSON.
            self._salesforce = None
            raise _unavailable_error(f"{type(error).__name__}: the answer could not be read") from error

    def _connected(self) -> "Salesforce":
        if self._salesforce is None:
            from simple_salesforce.api import Salesforce

            domain, username, consumer_key, private_key = self._login
            _check_key(private_key)
            # The token is requested from My Domain; its audience is the login host of production or of sandboxes.
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
    """A transient error (network, 5xx, limits, locks)."""
    return RemoteError("SALESFORCE_UNAVAILABLE", said=sanitise_message(why))


def _refused_error(why: str) -> RemoteError:
    """A refusal: wrong credentials, an unknown field, a missing permission."""
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
    """An API name that is safe in a query."""
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
    """Code and message of an error response, which is a list of errors or text."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return str(content[0].get("errorCode", "")), str(content[0].get("message", ""))
    return "", ""
