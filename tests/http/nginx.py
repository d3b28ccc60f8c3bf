"""nginx with the configuration that deploy/ has, in front of a service.

Owns what has to be another on this machine: ports, certificate, places. Must not know what is asked.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from raw import Raw, received
from serving import CALL_TIMEOUT_S, eventually, free_port

NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
NAME: Final = "t.example.com"
INSIDE: Final = "127.0.0.1"
OUTSIDE: Final = "127.0.0.2"
"""Both are this machine; the configuration lets only the first into what is for the inside."""
_CONFIG: Final = Path(__file__).parents[2] / "deploy" / "nginx.conf"
_DAY: Final = datetime.timedelta(days=1)


class Front(NamedTuple):
    """A running nginx."""

    folder: Path
    http_port: int
    https_port: int

    @contextlib.contextmanager
    def connected(self, source: str = OUTSIDE, name: str = NAME, *protocols: str) -> Iterator[ssl.SSLSocket]:
        """A connection over TLS, to ``name``, from the address ``source``."""
        context = ssl.create_default_context(cafile=str(self.folder / "fullchain.pem"))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        address = (INSIDE, self.https_port)
        with (
            socket.create_connection(address, CALL_TIMEOUT_S, source_address=(source, 0)) as plain,
            context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=True) as connection,
        ):
            yield connection

    def ask(self, method: str, target: str, *headers: str, body: bytes = b"", source: str = OUTSIDE) -> Raw:
        """One request over TLS, byte for byte."""
        with self.connected(source) as connection:
            connection.sendall(request(method, target, "Connection: close", *headers, body=body))
            return received(connection)

    def logged(self) -> str:
        """All that it wrote down, at any level."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of a request to the tracking domain."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {NAME}", *headers]
    if body and not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@contextlib.contextmanager
def fronting(folder: Path, upstream_port: int) -> Iterator[Front]:
    """nginx in front of a service on the loopback, ready, stopped at the end."""
    assert NGINX is not None
    front = Front(folder, free_port(), free_port())
    _certify(folder)
    (folder / "tracker.conf").write_text(_adapted(front, upstream_port))
    (folder / "nginx.conf").write_text(_main(folder))
    arguments = [NGINX, "-p", str(folder), "-e", str(folder / "start.log"), "-c", str(folder / "nginx.conf")]
    subprocess.run([*arguments, "-t", "-q"], check=True, timeout=CALL_TIMEOUT_S)
    with subprocess.Popen(arguments) as process:
        try:
            eventually(lambda: _listens(front.https_port))
            yield front
        finally:
            process.terminate()


def _adapted(front: Front, upstream_port: int) -> str:
    text = _CONFIG.read_text()
    for old, new in {
        "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
        "listen 80": f"listen 127.0.0.1:{front.http_port}",
        "listen 443": f"listen 127.0.0.1:{front.https_port}",
        "/etc/ssl/t.example.com/": f"{front.folder}/",
        "/var/log/nginx/": f"{front.folder}/",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    return "\n".join(line for line in text.splitlines() if "listen [::]" not in line)


def _main(folder: Path) -> str:
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(
        [
            "user root;" if os.geteuid() == 0 else "",  # or its workers could not enter this folder
            f"daemon off; worker_processes 1; pid {folder}/pid;",
            "events { worker_connections 512; }",
            "http {",
            *(f"{place}_temp_path {folder}/{place};" for place in places),
            f"include {folder}/tracker.conf;",
            "}",
        ]
    )


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((INSIDE, port), CALL_TIMEOUT_S):
        return True
    return False


def _certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
