"""FTP and FTPS clients on top of ftplib, with workarounds for real servers.

The control connection uses latin-1, which preserves all bytes: servers list names in UTF-8, cp1252 or both.
"""

import contextlib
import ftplib
import hashlib
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

from retour.remote import (
    RemoteError,
    RemoteFile,
    StepObserver,
    address,
    decode_name,
    encode_name,
    ignore_step,
    sanitise_message,
)

BLOCK_BYTES = 1 << 18
ATTEMPTS = 3
LISTING_LINES_MAX = 50_000
LISTING_SECONDS = 120
UNIX_LINE = re.compile(
    r"(?P<type>[-dlbcps])\S{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)?(?P<size>\d+)\s+"
    r"(?P<stamp>\w{3}\s+\d{1,2}\s+(?:\d{1,2}:\d{2}|\d{4})) (?P<name>.+)"
)
DOS_LINE = re.compile(
    r"(?P<stamp>\d{2}-\d{2}-\d{2,4}\s+\d{2}:\d{2}(?:[AP]M)?)\s+(?P<size><DIR>|<JUNCTION>|\d+) (?P<name>.+)"
)
UNKNOWN_COMMAND_REPLIES = ("500", "501", "502", "504")
SAYS_EMPTY = re.compile(r"(?i)\bno (such )?(files?|matches)\b|\bempty\b|not found|does not exist|keine|aucun")
"""Messages by which servers refuse to list an empty folder."""
BROKEN_ERRORS = (OSError, EOFError, ftplib.error_temp)


class Patient(io.RawIOBase):
    """A socket stream with a deadline. A socket timeout alone restarts with every byte."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Set the deadline for everything still to be read."""
        self._seconds, self._until, self._came = seconds, time.monotonic() + seconds, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
            came = self._sock.recv_into(buffer)
        except TimeoutError:
            if self._came:
                raise RemoteError("TOO_SLOW", most=f"{self._seconds:g} s") from None
            raise
        self._came += came
        return came


class FtpConnection(ftplib.FTP_TLS):
    """ftplib's client with checked addresses, implicit TLS, and TLS session reuse for data connections.

    vsftpd and ProFTPD by default refuse data connections that do not resume the control connection's TLS session, as a
    guard against stolen data connections.
    """

    def __init__(self, tls: ssl.SSLContext | None, implicit: bool, open_to: Callable[[], socket.socket]) -> None:
        # Without TLS the context is not used, and an empty one avoids loading certificates.
        super().__init__(encoding="latin-1", context=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._tls = tls
        self._implicit = implicit
        self._open_to = open_to
        self._replies: io.TextIOWrapper | None = None
        self._patient: Patient | None = None
        self._read_from: socket.socket | None = None
        self.is_too_slow = False

    def open(self, host: str, timeout: float) -> str:
        """Connect and read the greeting. The certificate must be valid for `host`."""
        self.host = host
        self.timeout = timeout
        self.sock = self._open_to()
        self.sock.settimeout(timeout)
        self.af = self.sock.family
        if self._implicit and self._tls:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome

    def getline(self) -> str:
        """Read a line of a reply, within the timeout as a whole."""
        assert self.sock is not None and self.timeout is not None
        if self._replies is None or self._patient is None or self._read_from is not self.sock:
            self._read_from, self._patient = self.sock, Patient(self.sock, self.timeout)
            self._replies = text_of(self._patient)
        self._patient.wait(self.timeout)
        try:
            line = self._replies.readline(self.maxline + 1)
        except (RemoteError, TimeoutError):
            self.is_too_slow = True
            raise
        finally:
            self.sock.settimeout(self.timeout)
        if len(line) > self.maxline:
            raise ftplib.Error(f"got more than {self.maxline} bytes")
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def retrlines(self, cmd: str, callback: Callable[[str], object] | None = None) -> str:
        """As in ftplib, but the whole listing must arrive within the timeout."""
        assert callback is not None
        self.sendcmd("TYPE A")
        with self.transfercmd(cmd) as data, text_of(Patient(data, LISTING_SECONDS)) as listing:
            try:
                while line := listing.readline(self.maxline + 1):
                    if len(line) > self.maxline:
                        raise ftplib.Error(f"got more than {self.maxline} bytes")
                    callback(line.removesuffix("\n").removesuffix("\r"))
            except (RemoteError, TimeoutError) as error:
                self.is_too_slow = not (isinstance(error, RemoteError) and error.code != "TOO_SLOW")
                raise
            if isinstance(data, ssl.SSLSocket):
                data.unwrap()
        return self.voidresp()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        control = self.sock
        if isinstance(control, ssl.SSLSocket) and self._tls:
            data = self._tls.wrap_socket(data, server_hostname=self.host, session=control.session)
        return data, size


def text_of(raw: Patient) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(raw), encoding="latin-1", newline="\n")


class FtpClient:
    """A FileClient by FTP or FTPS. Created by `connect`."""

    def __init__(self, log_in: Callable[[], FtpConnection], secrets: tuple[str, ...]) -> None:
        self._log_in = log_in
        self._secrets = secrets
        self._wire: dict[str, str] = {}
        self._start()

    def _start(self) -> None:
        self._line = self._log_in()
        self._here: str | None = None
        try:
            with self._talk("begin (PWD)"):
                self._home = self._line.pwd()
            with self._talk("begin (TYPE I)"):
                self._line.voidcmd("TYPE I")
        except RemoteError:
            self._line.close()
            raise

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[RemoteFile]:
        with self._talk(f"list {folder}"):
            self._go(folder)
            found = []
            for wire, size, modified, stamp, sure in self._entries():
                name = decode_name(wire)
                self._wire[name] = wire
                if sure or not wanted(name):
                    found.append(RemoteFile(name, size, modified, stamp))
                elif (asked := self._ask(name, size, stamp)) is not None:
                    found.append(asked)
            return found

    def _entries(self) -> Iterator[tuple[str, int | None, datetime | None, str, bool]]:
        """Listing entries: (wire name, size, modified, stamp, sure). `sure`: SIZE and MDTM are not needed."""
        try:
            lines = self._lines("MLSD")
        except ftplib.error_perm as error:
            refused = None if str(error).startswith(UNKNOWN_COMMAND_REPLIES) else error
        else:
            for line in lines:
                facts_text, _, name = line.partition(" ")
                facts = dict(fact.lower().partition("=")[::2] for fact in facts_text.rstrip(";").split(";"))
                kind = facts.get("type", "file")
                if kind == "file":
                    size = int(facts["size"]) if facts.get("size", "").isdigit() else None
                    modified = parse_utc(facts.get("modify", ""))
                    yield name, size, modified, facts.get("modify", ""), size is not None and modified is not None
                elif "link" in kind:  # the size is that of the link; SIZE shows whether it leads to a file
                    yield name, None, None, "", False
            return
        try:
            listed = self._lines("LIST")
        except ftplib.error_perm as error:
            yield from self._names(refused or error)
            return
        lines = [line for line in listed if line.strip() and not re.match(r"(?i)total \d+\s*$", line)]
        shapes = [match for line in lines if (match := UNIX_LINE.fullmatch(line) or DOS_LINE.fullmatch(line))]
        if len(shapes) == len(lines):
            for match in shapes:
                kind, name = match.groupdict().get("type", "-"), match["name"]
                if kind == "l":
                    yield name.partition(" -> ")[0], None, None, "", False
                elif kind == "-" and match["size"].isdigit():
                    yield name, int(match["size"]), None, match["stamp"], False
            return
        yield from self._names()

    def _names(self, refused: ftplib.error_perm | None = None) -> Iterator[tuple[str, None, None, str, bool]]:
        """Names only. Raises `refused` if there are none, unless it says that the folder is empty."""
        try:
            names = self._lines("NLST")
        except ftplib.error_perm:
            if refused is None:
                raise
            raise refused from None
        if refused is not None and not names and not SAYS_EMPTY.search(str(refused)):
            raise refused
        for name in names:
            if name not in (".", ".."):
                yield name.rsplit("/", 1)[-1], None, None, "", False

    def _lines(self, command: str) -> list[str]:
        lines: list[str] = []

        def add(line: str) -> None:
            lines.append(line)
            if len(lines) > LISTING_LINES_MAX:
                raise RemoteError("FOLDER_TOO_FULL", most=LISTING_LINES_MAX)

        try:
            self._line.retrlines(command, add)
        except ftplib.error_perm as error:
            # Several servers respond like this to an empty folder.
            if not (command == "NLST" and str(error).startswith("550")):
                raise
        finally:
            if len(lines) <= LISTING_LINES_MAX and not self._line.is_too_slow:
                self._line.voidcmd("TYPE I")  # listings switch to ASCII mode, in which ProFTPD refuses SIZE
        return lines

    def stat(self, folder: str, name: str) -> RemoteFile | None:
        with self._talk(f"look at {name}"):
            self._go(folder)
            return self._ask(name)

    def _ask(self, name: str, listed: int | None = None, stamp: str = "") -> RemoteFile | None:
        """Size and time in UTC by SIZE and MDTM, else as listed. None if SIZE says that it is no file."""
        wire = self._on_wire(name)
        size = listed
        try:
            size = self._line.size(wire)
        except ftplib.error_perm as error:
            if not str(error).startswith(UNKNOWN_COMMAND_REPLIES):
                return None
        try:
            time = self._line.voidcmd(f"MDTM {wire}")[4:].strip()
        except ftplib.error_perm:
            time = ""
        return RemoteFile(name, size, parse_utc(time), time or stamp)

    def fetch(self, folder: str, name: str, into: BinaryIO) -> int:
        with self._talk(f"fetch {name}"):
            got = 0
            attempts = ATTEMPTS
            self._go(folder)
            before = self._ask(name)
            while True:
                try:
                    for block in self._blocks(name, got):
                        into.write(block)
                        got += len(block)
                    if before is None or before.size is None or got == before.size:
                        return got
                    problem = f"{got} of {before.size} bytes came"
                except BROKEN_ERRORS as error:
                    problem = sanitise_message(error, *self._secrets) or type(error).__name__
                attempts -= 1
                if not attempts or (before is not None and before.size is not None and got > before.size):
                    raise RemoteError("INCOMPLETE", name=name, said=problem)
                with contextlib.suppress(*BROKEN_ERRORS):
                    self._line.close()
                self._start()
                self._go(folder)
                if self._ask(name) != before:
                    raise RemoteError("CHANGED", name=name)

    def _blocks(self, name: str, start: int) -> Iterator[bytes]:
        data = self._line.transfercmd(f"RETR {self._on_wire(name)}", rest=start or None)
        try:
            while block := data.recv(BLOCK_BYTES):
                yield block
        finally:
            close_data_connection(data)
        self._line.voidresp()

    def put(self, folder: str, name: str, body: bytes) -> None:
        """Upload and rename; upload directly if the server refuses the temporary name or the rename."""
        temporary, final = encode_name(f"{name}.part"), encode_name(name)
        with self._talk(f"put {name}"):
            self._go(folder)
            try:
                self._put_and_rename(temporary, final, body)
            except ftplib.error_perm as refused:
                with contextlib.suppress(ftplib.error_perm):
                    self._line.delete(temporary)
                try:
                    self._store(final, body)
                except ftplib.error_perm:
                    raise refused from None  # The first refusal says what is wrong.

    def _put_and_rename(self, temporary: str, final: str, body: bytes) -> None:
        try:
            self._store(temporary, body)
        except ftplib.error_perm as refused:
            try:
                self._line.delete(temporary)  # left by an interrupted attempt, and the server does not overwrite
                self._store(temporary, body)
            except ftplib.error_perm:
                raise refused from None
        try:
            self._line.rename(temporary, final)
        except ftplib.error_perm as refused:
            try:
                self._line.delete(final)  # our own earlier reply
                self._line.rename(temporary, final)
            except ftplib.error_perm:
                raise refused from None

    def move(self, folder: str, name: str, to: str) -> None:
        """Move to a folder below this one, or to an absolute one. An existing file of that name is not replaced."""
        with self._talk(f"move {name} to {to}"):
            self._go(folder)
            self._line.rename(self._on_wire(name), f"{encode_name(to).rstrip('/')}/{self._on_wire(name)}")

    def _store(self, wire: str, body: bytes) -> None:
        data = self._line.transfercmd(f"STOR {wire}")
        try:
            data.sendall(body)
        finally:
            close_data_connection(data)
        self._line.voidresp()
        try:
            size = self._line.size(wire)
        except ftplib.error_perm:
            return
        if size is not None and size != len(body):
            raise RemoteError("INCOMPLETE", name=decode_name(wire), said=f"{size} of {len(body)} bytes")

    def delete(self, folder: str, name: str) -> None:
        with self._talk(f"delete {name}"):
            self._go(folder)
            self._line.delete(self._on_wire(name))

    def close(self) -> None:
        if not self._line.is_too_slow:
            with contextlib.suppress(*BROKEN_ERRORS, ftplib.Error, RemoteError):
                self._line.quit()
        self._line.close()

    def _on_wire(self, name: str) -> str:
        return self._wire.get(name, encode_name(name))

    def _go(self, folder: str) -> None:
        """Change to a folder by CWD, since some servers do not accept spaces in paths of other commands."""
        if self._here == folder:
            return
        self._here = None
        if not folder.startswith("/") and self._home:
            self._line.cwd(self._home)
        try:
            if folder not in ("", "."):
                self._line.cwd(encode_name(folder))
        except ftplib.error_perm as error:
            raise RemoteError(
                "FOLDER_NOT_FOUND", folder=folder, said=sanitise_message(error, *self._secrets)
            ) from error
        self._here = folder

    @contextlib.contextmanager
    def _talk(self, doing: str) -> Iterator[None]:
        try:
            yield
        except ftplib.Error as error:
            raise RemoteError("REFUSED", doing=doing, said=sanitise_message(error, *self._secrets)) from error
        except (OSError, EOFError, ValueError) as error:
            said = sanitise_message(error, *self._secrets) or type(error).__name__
            raise RemoteError("CONNECTION_BROKEN", doing=doing, said=said) from error


def connect(
    options: Mapping[str, Any],
    secret: Mapping[str, str],
    *,
    timeout: float,
    allow_private: bool = False,
    resolve: address.Resolve = address.resolve,
    watch: StepObserver = ignore_step,
) -> FtpClient:
    """Log in as the source's options say, with verified TLS unless they allow plain FTP."""
    plain = options["protocol"] == "ftp"
    if plain and options.get("allow_plain") is not True:
        raise RemoteError("PLAIN_FTP_NOT_ALLOWED", lasting=True)
    password = secret.get("password", "")
    if not password:
        raise RemoteError("NO_CREDENTIALS", lasting=True)
    host, user, implicit = options["host"], options.get("user", ""), bool(options.get("implicit"))
    port = int(options.get("port", 990 if implicit and not plain else 21))
    tls = None if plain else tls_context(options)

    def log_in() -> FtpConnection:
        line = FtpConnection(
            tls, implicit, lambda: address.connect(host, port, timeout, allow_private=allow_private, resolve=resolve)
        )
        try:
            welcome = line.open(host, timeout)
            watch("connect", {"host": host, "port": port, "said": sanitise_message(welcome)})
            if tls and not implicit:
                start_tls(line, host)
            watch("trust", certificate_facts(line.sock))
            try:
                # FTP_TLS.login would start TLS itself, which was decided above.
                ftplib.FTP.login(line, user, password)
            except ftplib.error_perm as error:
                raise RemoteError(
                    "LOGIN_REFUSED", lasting=True, host=host, user=user, said=sanitise_message(error, password)
                ) from error
            if tls:
                line.voidcmd("PBSZ 0")
                line.voidcmd("PROT P")
            watch("login", {"host": host, "user": user})
        except BaseException:
            line.close()
            raise
        return line

    with_words = {"host": host, "port": port, "secret": password}
    return FtpClient(lambda: log_in_or_explain(log_in, **with_words), (password,))


def certificate_facts(sock: socket.socket | None) -> dict[str, Any]:
    """The server's certificate data for comparison by a person; empty without TLS."""
    if not isinstance(sock, ssl.SSLSocket):
        return {}
    digest = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest().upper()
    until = dict(sock.getpeercert() or {}).get("notAfter", "")
    return {"certificate": "SHA256:" + ":".join(re.findall("..", digest)), "until": str(until)}


def start_tls(line: FtpConnection, host: str) -> None:
    """AUTH TLS, before any secret is sent."""
    try:
        line.auth()
    except ftplib.error_perm as error:
        raise RemoteError("TLS_NOT_OFFERED", lasting=True, host=host, said=sanitise_message(error)) from error


def log_in_or_explain(log_in: Callable[[], FtpConnection], host: str, port: int, secret: str) -> FtpConnection:
    """Log in, turning failures into messages an admin can act on."""
    try:
        return log_in()
    except ssl.SSLCertVerificationError as error:
        said = sanitise_message(error.verify_message)
        raise RemoteError("CERTIFICATE_NOT_TRUSTED", lasting=True, host=host, said=said) from error
    except ssl.SSLError as error:
        raise RemoteError("TLS_FAILED", host=host, port=port, said=sanitise_message(error)) from error
    except (OSError, EOFError, ftplib.Error) as error:
        said = sanitise_message(error, secret) or "it hung up"
        raise RemoteError("NOT_STARTED", host=host, port=port, said=said) from error


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """A TLS context that verifies against the system's CAs, or only against the source's own."""
    ca = options.get("ca")
    try:
        tls = ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError) as error:
        right = "-----BEGIN CERTIFICATE----- …"
        raise RemoteError("BAD_OPTION", lasting=True, option="ca", said=sanitise_message(error), right=right) from error
    if options.get("max_tls") == "1.2":
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return tls


def close_data_connection(data: socket.socket) -> None:
    """Close a data connection. Many servers skip the TLS shutdown; truncation is detected by length."""
    if isinstance(data, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):
            data.unwrap()
    data.close()


def parse_utc(time: str) -> datetime | None:
    """Parse a time of MLSD or MDTM in UTC, `20261121232459`, with optional fractions."""
    match = re.fullmatch(r"(\d{14})(?:\.\d+)?", time)
    try:
        return datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None
