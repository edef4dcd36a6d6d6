"""Real servers on free loopback ports, as merchants run them.

Every daemon serves `root/out` (the merchant's files) and `root/in` (replies) to one user.
"""

import contextlib
import grp
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import trustme

from tests.servers.install import HOME

HOST = "files.merchant.test"
USER, PASSWORD = "retour", "s3cret-und-lang"
# The serving account: it exists on every Debian, with a home folder, as vsftpd requires.
ACCOUNT, OWNER = "daemon", 1


@dataclass(frozen=True)
class Daemon:
    """A running server, and the options and secret to use it."""

    name: str
    port: int
    root: Path
    options: dict[str, Any]
    secret: dict[str, str]

    def clear(self) -> None:
        """Empty both folders."""
        for path in [*(self.root / "out").iterdir(), *(self.root / "in").iterdir()]:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def leave(self, name: str, body: bytes, age: float = 3600) -> Path:
        """Add a merchant's file that is `age` seconds old."""
        path = self.root / "out" / name
        path.write_bytes(body)
        os.chown(path, OWNER, OWNER)
        moment = time.time() - age
        os.utime(path, (moment, moment))
        return path


@dataclass(frozen=True)
class Identity:
    """Certificates and keys of a test run."""

    folder: Path
    ca: str
    other_ca: str
    host_key: str
    client_key: str

    @property
    def pem(self) -> Path:
        return self.folder / "server.pem"


def make_identity(folder: Path) -> Identity:
    # vsftpd's TLS 1.2 needs RSA.
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    authority.issue_cert(HOST, "127.0.0.1", key_type=trustme.KeyType.RSA).private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    os.chmod(folder / "server.pem", 0o600)
    host = asyncssh.generate_private_key("ssh-ed25519")
    host.write_private_key(str(folder / "host_key"))
    # ProFTPD's SFTP reads only PEM keys.
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    rsa.write_private_key(str(folder / "host_key_rsa"), "pkcs1-pem")
    rsa.write_public_key(str(folder / "host_key_rsa.pub"))
    for name in ("host_key", "host_key_rsa"):
        os.chmod(folder / name, 0o600)
    client = asyncssh.generate_private_key("ssh-ed25519")
    client.write_public_key(str(folder / "authorized_keys"))
    return Identity(
        folder=folder,
        ca=authority.cert_pem.bytes().decode(),
        other_ca=trustme.CA().cert_pem.bytes().decode(),
        host_key=host.export_public_key().decode().strip(),
        client_key=client.export_private_key().decode(),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_folders(folder: Path) -> Path:
    """Create out/ and in/ for a server, writable by the serving account."""
    root = folder / "site"
    for path in (folder, root, root / "out", root / "in"):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
    for name in ("out", "in"):
        os.chown(root / name, OWNER, OWNER)
    return root


@contextlib.contextmanager
def run_daemon(folder: Path, port: int, *command: str | Path) -> Iterator[None]:
    """Run a daemon in the foreground while the context is open, after waiting for its first response."""
    log = folder / "daemon.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment(),
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment() -> dict[str, str]:
    """A server's environment, far from UTC so that local times in listings are noticed."""
    unpacked = HOME / "libraries"
    libraries = [*unpacked.glob("usr/lib/*-linux-gnu"), *unpacked.glob("lib/*-linux-gnu")]
    return {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "TZ": "America/New_York"}


def hash_password(password: str) -> str:
    command = ["perl", "-e", "print crypt($ARGV[0], '$6$' . 'nosecrethere$')", password]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ftp_options(port: int, identity: Identity, tls: str) -> dict[str, Any]:
    options: dict[str, Any] = {"host": HOST, "port": port, "user": USER, "folder": "/out", "result_folder": "/in"}
    if tls == "plain":
        return options | {"protocol": "ftp", "allow_plain": True}
    return options | {"protocol": "ftps", "implicit": tls == "implicit", "ca": identity.ca}


@contextlib.contextmanager
def vsftpd(folder: Path, identity: Identity, tls: str) -> Iterator[Daemon]:
    """As shipped: data connections must resume the TLS session. Anonymous with a password list spares a PAM service."""
    root, port = make_folders(folder), free_port()
    (folder / "empty").mkdir()
    (folder / "passwords").write_text(PASSWORD + "\n")
    (folder / "vsftpd.conf").write_text(
        "\n".join(
            [
                "listen=YES", "listen_address=127.0.0.1", f"listen_port={port}", "background=NO",
                "anonymous_enable=YES", "local_enable=NO", f"ftp_username={ACCOUNT}", "write_enable=YES",
                "secure_email_list_enable=YES", f"email_password_file={folder}/passwords", f"anon_root={root}",
                "anon_upload_enable=YES", "anon_other_write_enable=YES", "anon_umask=022",
                "anon_world_readable_only=NO", f"secure_chroot_dir={folder}/empty", "seccomp_sandbox=NO",
                "xferlog_enable=NO",
                *([] if tls == "plain" else [
                    "ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES",
                    f"rsa_cert_file={identity.pem}",
                ]),
                *(["implicit_ssl=YES"] if tls == "implicit" else []),
                "",
            ]
        )
    )  # fmt: skip
    with run_daemon(folder, port, HOME / "vsftpd/usr/sbin/vsftpd", folder / "vsftpd.conf"):
        options = ftp_options(port, identity, tls) | {"user": "anonymous"}
        yield Daemon(f"vsftpd-{tls}", port, root, options, {"password": PASSWORD})


@contextlib.contextmanager
def proftpd(folder: Path, identity: Identity, tls: str) -> Iterator[Daemon]:
    """As shipped: session reuse demanded, no overwriting. tls "sftp" makes it an SFTP server with passwords."""
    root, port = make_folders(folder), free_port()
    program = HOME / "proftpd"
    users = folder / "users"
    users.write_text(f"{USER}:{hash_password(PASSWORD)}:{OWNER}:{OWNER}::{root}:/bin/false\n")
    users.chmod(0o600)
    crypto: list[str] = []
    if tls == "sftp":
        crypto = [
            "LoadModule mod_sftp.c", "SFTPEngine on", f"SFTPHostKey {identity.folder}/host_key_rsa",
            "SFTPAuthMethods password", f"SFTPLog {folder}/sftp.log",
        ]  # fmt: skip
    elif tls != "plain":
        crypto = [
            "LoadModule mod_tls.c", "TLSEngine on", "TLSRequired on", f"TLSRSACertificateFile {identity.pem}",
            f"TLSRSACertificateKeyFile {identity.pem}", f"TLSLog {folder}/tls.log",
            *(["TLSOptions UseImplicitSSL"] if tls == "implicit" else []),
        ]  # fmt: skip
    (folder / "proftpd.conf").write_text(
        "\n".join(
            [
                f"ModulePath {program}/usr/lib/proftpd", "ServerType standalone", "DefaultAddress 127.0.0.1",
                "SocketBindTight on", f"Port {port}", "UseIPv6 off", "UseReverseDNS off", "User nobody",
                "Group nogroup", f"AuthUserFile {users}", "AuthOrder mod_auth_file.c", "RequireValidShell off",
                "DefaultRoot ~", f"ScoreboardFile {folder}/scoreboard", f"PidFile {folder}/pid", "WtmpLog off",
                f"SystemLog {folder}/system.log", "TransferLog none", "DelayTable none", *crypto, "",
            ]
        )
    )  # fmt: skip
    options = ftp_options(port, identity, tls)
    if tls == "sftp":
        public = (identity.folder / "host_key_rsa.pub").read_text().strip()
        options = {"protocol": "sftp", "host": HOST, "port": port, "user": USER, "folder": "/out",
                   "result_folder": "/in", "host_keys": [public]}  # fmt: skip
    with run_daemon(folder, port, program / "usr/sbin/proftpd", "-n", "-q", "-c", folder / "proftpd.conf"):
        yield Daemon(f"proftpd-{tls}", port, root, options, {"password": PASSWORD})


@contextlib.contextmanager
def pureftpd(folder: Path, identity: Identity, tls: str) -> Iterator[Daemon]:
    root, port = make_folders(folder), free_port()
    program = HOME / "pureftpd"
    entry = folder / "users"
    # ProFTPD's own password hash is slow by design; it also reads crypt's.
    entry.write_text(f"{USER}:{hash_password(PASSWORD)}:{OWNER}:{OWNER}::{root}/./::::::::::::\n")
    subprocess.run(
        [program / "usr/bin/pure-pw", "mkdb", folder / "users.pdb", "-f", entry], check=True, env=environment()
    )
    secure = ["-Y", "2", "-2", str(identity.pem)] if tls == "explicit" else ["-Y", "0"]
    with run_daemon(
        folder, port, program / "usr/sbin/pure-ftpd", "-S", f"127.0.0.1,{port}", "-l", f"puredb:{folder}/users.pdb",
        "-E", "-A", "-H", "-g", folder / "pid", "-u", "1", *secure,
    ):  # fmt: skip
        yield Daemon(f"pureftpd-{tls}", port, root, ftp_options(port, identity, tls), {"password": PASSWORD})


@contextlib.contextmanager
def openssh(folder: Path, identity: Identity, *extra: str) -> Iterator[Daemon]:
    """Run as the unprivileged user whom it serves, so it needs no account of its own on the machine."""
    root, port = make_folders(folder), free_port()
    for name, mode in (("host_key", 0o600), ("authorized_keys", 0o644)):
        (folder / name).write_bytes((identity.folder / name).read_bytes())
        (folder / name).chmod(mode)
        os.chown(folder / name, OWNER, OWNER)
    (folder / "sshd_config").write_text(
        "\n".join(
            [
                f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host_key", "UsePAM no",
                f"AuthorizedKeysFile {folder}/authorized_keys", "PasswordAuthentication no", "StrictModes no",
                "PidFile none", "Subsystem sftp internal-sftp", f"ForceCommand internal-sftp -d {root}",
                *extra, "",
            ]
        )
    )  # fmt: skip
    with run_daemon(
        folder, port, "setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", f"--groups={grp.getgrnam('shadow').gr_gid}",
        HOME / "openssh/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config",
    ):  # fmt: skip
        options = {"protocol": "sftp", "host": HOST, "port": port, "user": ACCOUNT, "folder": "out",
                   "result_folder": "in", "host_keys": [identity.host_key]}  # fmt: skip
        yield Daemon("openssh-sftp", port, root, options, {"private_key": identity.client_key})


KINDS: dict[str, Callable[[Path, Identity], contextlib.AbstractContextManager[Daemon]]] = {
    "vsftpd-plain": lambda folder, keys: vsftpd(folder, keys, "plain"),
    "vsftpd-explicit": lambda folder, keys: vsftpd(folder, keys, "explicit"),
    "vsftpd-implicit": lambda folder, keys: vsftpd(folder, keys, "implicit"),
    "proftpd-plain": lambda folder, keys: proftpd(folder, keys, "plain"),
    "proftpd-explicit": lambda folder, keys: proftpd(folder, keys, "explicit"),
    "proftpd-implicit": lambda folder, keys: proftpd(folder, keys, "implicit"),
    "proftpd-sftp": lambda folder, keys: proftpd(folder, keys, "sftp"),
    "pureftpd-plain": lambda folder, keys: pureftpd(folder, keys, "plain"),
    "pureftpd-explicit": lambda folder, keys: pureftpd(folder, keys, "explicit"),
    "openssh-sftp": lambda folder, keys: openssh(folder, keys),
}
