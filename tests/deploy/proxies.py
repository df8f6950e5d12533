"""The proxies of deploy/, with the files that operators copy. Only names, ports, paths and times are replaced."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import trustme

from tests.support.processes import ROOT, ServerProcess, free_port
from tests.support.programs import find_program
from tests.support.waiting import wait_until

DEPLOY = ROOT / "deploy"
HOST = "localhost"


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each key with its value. Fails if a key does not occur, because the file has changed."""
    for old, new in replacements.items():
        assert old in text, f"{old!r} is not in the file"
        text = text.replace(old, new)
    return text


class Proxy:
    """A running proxy for one site and one worker.

    Attributes:
        tls_port, plain_port: The ports in place of 443 and 80.
        context: TLS of a client that trusts the proxy's certificate.
    """

    program = ""

    def __init__(
        self, folder: Path, *, site_port: int, worker_port: int, tls_port: int, changes: Mapping[str, str] | None = None
    ) -> None:
        """Start the proxy, and wait until it listens.

        Args:
            changes: More replacements in the configuration.
        """
        self.folder = folder
        self.tls_port, self.plain_port = tls_port, free_port()
        authority = trustme.CA()
        certificate = authority.issue_cert(HOST)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "gossip.pem"))
        certificate.private_key_pem.write_to_path(str(folder / "privkey.pem"))
        (folder / "fullchain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        self.context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
        servers = {"127.0.0.1:4100": f"127.0.0.1:{site_port}", "127.0.0.1:4110": f"127.0.0.1:{worker_port}"}
        command = self.configure({**servers, **(changes or {})})
        path = find_program(self.program)
        assert path is not None
        self._process = ServerProcess([path, *command], env={**os.environ, "HOME": str(folder)}, cwd=folder)
        try:
            wait_until(self._listens, seconds=15, what=f"{self.program} listens")
        except BaseException:
            self.close()
            raise

    def configure(self, servers: Mapping[str, str]) -> list[str]:
        """Write the configuration into the folder, and return the arguments of the program."""
        raise NotImplementedError

    def log(self) -> str:
        """Return the access log and what the program has printed."""
        logs = "\n".join(path.read_text() for path in self.folder.glob("*.log"))
        return f"{self._process.output}\n{logs}"

    def connect(
        self, data: bytes, stack: ExitStack, *, source: str = "127.0.0.1", is_tls: bool = True
    ) -> socket.socket:
        """Open a connection from this address of the machine, and send these bytes."""
        client = socket.create_connection(
            ("127.0.0.1", self.tls_port if is_tls else self.plain_port), 10, source_address=(source, 0)
        )
        stack.callback(client.close)
        if is_tls:
            client = stack.enter_context(self.context.wrap_socket(client, server_hostname=HOST))
        client.sendall(data)
        return client

    def close(self) -> None:
        self._process.kill()

    def _listens(self) -> bool:
        assert self._process.process.poll() is None, f"{self.program} ended:\n{self.log()}"
        try:
            for port in (self.tls_port, self.plain_port):
                socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True


class Nginx(Proxy):
    program = "nginx"

    def configure(self, servers: Mapping[str, str]) -> list[str]:
        folder = str(self.folder)
        site = replaced(
            (DEPLOY / "nginx" / "gossip.conf").read_text(),
            {
                **servers,
                "gossip.example.com": HOST,
                f"/etc/letsencrypt/live/{HOST}": folder,
                "/var/log/nginx": folder,
                "snippets/gossip-socket.conf": str(DEPLOY / "nginx" / "gossip-socket.conf"),
                "listen 443": f"listen 127.0.0.1:{self.tls_port}",
                "listen 80": f"listen 127.0.0.1:{self.plain_port}",
                "return 308 https://$host": f"return 308 https://{HOST}:{self.tls_port}",
                "_timeout 10s": "_timeout 1s",
            },
        )
        site = re.sub(r" *listen \[::\].*\n", "", site)  # a machine without IPv6 could not run the test
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.folder / "nginx.conf"
        user = "user root; " if os.getuid() == 0 else ""  # another one could not use this folder
        configuration.write_text(
            f"{user}daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;\n"
            f"events {{ worker_connections 512; }}\nhttp {{\n{temporary}{site}\n}}\n"
        )
        return ["-p", folder, "-e", "stderr", "-c", str(configuration)]


class Caddy(Proxy):
    program = "caddy"

    def configure(self, servers: Mapping[str, str]) -> list[str]:
        configuration = self.folder / "Caddyfile"
        options = f"{{\n\tadmin off\n\tauto_https off\n\thttp_port {self.plain_port}\n\thttps_port {self.tls_port}\n"
        certificate = f"\ttls {self.folder}/fullchain.pem {self.folder}/privkey.pem\n"
        configuration.write_text(
            replaced(
                (DEPLOY / "caddy" / "Caddyfile").read_text(),
                {
                    **servers,
                    "\n{\n\tservers": f"\n{options}\tservers",
                    "\ngossip.example.com {\n": f"\nhttps://gossip.example.com {{\n{certificate}",
                    "redir https://gossip.example.com{uri}": f"redir https://{HOST}:{self.tls_port}{{uri}}",
                    "gossip.example.com": HOST,
                    "/var/log/caddy": str(self.folder),
                    "read_header 10s": "read_header 1s",
                    "read_body 30s": "read_body 1s",
                },
            )
        )
        return ["run", "--config", str(configuration), "--adapter", "caddyfile"]


class Haproxy(Proxy):
    program = "haproxy"

    def configure(self, servers: Mapping[str, str]) -> list[str]:
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(
            replaced(
                (DEPLOY / "haproxy" / "haproxy.cfg").read_text(),
                {
                    **servers,
                    "log /dev/log local0": "log stdout format raw local0",
                    "    user haproxy\n    group haproxy\n": "",
                    "maxconn 20000": "maxconn 500",
                    "/etc/haproxy/gossip.pem": str(self.folder / "gossip.pem"),
                    "bind :443": f"bind 127.0.0.1:{self.tls_port}",
                    "bind :80": f"bind 127.0.0.1:{self.plain_port}",
                    "redirect scheme https": f"redirect prefix https://{HOST}:{self.tls_port}",
                    "timeout http-request 10s": "timeout http-request 1s",
                },
            )
        )
        return ["-db", "-f", str(configuration)]


PROXIES: tuple[type[Proxy], ...] = (Nginx, Caddy, Haproxy)
