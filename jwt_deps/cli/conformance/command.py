"""`jwt-deps conformance`: test a resource server against the specifications."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

import httpx2
import typer

from jwt_deps.cli.inputs import parse_claim
from jwt_deps.cli.output import ACCEPTED, REFUSED, Format, impossible, note, show_json
from jwt_deps.jose import SigningKey
from jwt_deps.keys import is_loopback_host
from jwt_deps.testing import Answer, FakeIssuer

from .asking import CannotAskError, Result, Server, ask
from .catalog import Document, documents
from .requests import Maker
from .results import as_json, counts, show, write_junit

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


def conformance(  # noqa: PLR0913 - one per option
    *,
    url: Annotated[
        str, typer.Argument(help="An address that answers GET with 2xx for a good token.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A key that the server trusts: a secret, or a private key in PEM or as a JWK.",
        ),
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="By default the usual one of the key.")
    ] = None,
    kid: Annotated[str | None, typer.Option(help="By default the key's own.")] = None,
    issuer: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Instead of a key: serve an issuer that the server trusts at this loopback "
            "address, and ask about its keys too.",
        ),
    ] = None,
    audience: Annotated[str | None, typer.Option(help="'aud' of a good token.")] = None,
    typ: Annotated[str, typer.Option(help="'typ' of a good token.")] = "JWT",
    claims: Annotated[
        list[str] | None,
        typer.Option("--claim", metavar="NAME=VALUE", help="A claim of a good token; repeatable."),
    ] = None,
    public: Annotated[
        str | None, typer.Option(metavar="URL", help="An address that needs no token.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="The scope without which URL answers 403.")
    ] = None,
    rfc9068: Annotated[
        bool, typer.Option("--rfc9068", help="The server takes RFC 9068 tokens only.")
    ] = False,
    cookie: Annotated[
        str | None, typer.Option(metavar="NAME", help="A cookie that may hold the token.")
    ] = None,
    post: Annotated[
        str | None, typer.Option(metavar="URL", help="An address that takes a POST without body.")
    ] = None,
    websocket: Annotated[
        str | None, typer.Option(metavar="URL", help="A guarded WebSocket.")
    ] = None,
    dpop: Annotated[bool, typer.Option("--dpop", help="The server takes DPoP too.")] = False,
    certificate: Annotated[
        str | None,
        typer.Option(
            metavar="HEADER", help="The header in which it takes client certificates (RFC 9440)."
        ),
    ] = None,
    step_up: Annotated[
        str | None, typer.Option(metavar="URL", help="An address that asks for --acr.")
    ] = None,
    acr: Annotated[str | None, typer.Option(help="The 'acr' that --step-up asks for.")] = None,
    resource: Annotated[
        str | None, typer.Option(help="The resource identifier of its RFC 9728 metadata.")
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="PREFIX", help="Ask the questions whose id begins so.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="Text or JSON.")] = Format.TEXT,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML too.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Ask a server that is not this machine.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds per request.")] = 5,
) -> None:
    """Test a resource server, in any language, against the specifications.

    It sends a few hundred requests one after the other, most of them with invalid tokens, and
    compares the answers with RFC 6750, 7515, 7519, 8705, 8725, 9068, 9110, 9449, 9470 and 9728.
    What needs an option that is not given is not asked. Addresses are URLs or paths.

    Examples:
      jwt-deps conformance http://127.0.0.1:8000/me --key secret.txt --public /health
      jwt-deps conformance http://127.0.0.1:8000/me --issuer http://127.0.0.1:9400 --audience api
      jwt-deps conformance http://127.0.0.1:8000/me --key private.pem --junit report.xml

    Exit codes:
      0  every MUST that was asked is kept
      1  some MUST is not
      2  it cannot be asked
    """
    given = {
        "aud": audience,
        "scope": scope,
        "cookie": cookie,
        "acr": acr,
        "resource": resource,
        "certificate_header": certificate,
        "rfc9068": rfc9068,
        "dpop": dpop,
    }
    addresses = {
        "public": public,
        "post": post,
        "websocket": websocket,
        "step_up": step_up,
    }
    try:
        urls = _urls(url, addresses, resource)
        if not allow_remote:
            _require_loopback(urls)
    except ValueError as error:
        raise impossible(f"an address cannot be read: {error}.") from None
    extra = dict(_parsed(text) for text in claims or [])
    with _trusted(key, algorithm, kid, issuer) as (signing, served):
        maker = _maker(signing, served, {**given, **urls}, extra, "at+jwt" if rfc9068 else typ)
        # A proxy of the environment does not reach this machine's loopback interface.
        # A server closes the connection after an error of its own, so each request has a new one.
        limits = httpx2.Limits(max_keepalive_connections=0)
        with httpx2.Client(timeout=timeout, trust_env=allow_remote, limits=limits) as client:
            server = Server(urls, maker, maker.names, served, client)
            try:
                results = _results(server, only)
            except CannotAskError as error:
                raise impossible(f"{error}.") from None
    if form is Format.JSON:
        show_json(as_json(results))
    else:
        show(results)
    if junit is not None:
        _write(junit, results)
    count = counts([it for found in results.values() for it in found])
    note(", ".join(f"{number} {what}" for what, number in sorted(count.items())))
    raise typer.Exit(REFUSED if count["MUST"] else ACCEPTED)


def _urls(url: str, addresses: Mapping[str, str | None], resource: str | None) -> dict[str, str]:
    metadata = resource and _WELL_KNOWN + urlsplit(resource).path.rstrip("/")
    parts = {**addresses, "metadata": metadata}
    given = {name: urljoin(url, it) for name, it in parts.items() if it}
    if "websocket" in given:
        given["websocket"] = re.sub("^http", "ws", given["websocket"])
    urls = {"guarded": url, **given}
    for address in urls.values():
        _ = urlsplit(address).port  # `ValueError` if it is none
    return urls


def _require_loopback(urls: Mapping[str, str]) -> None:
    for address in urls.values():
        if not is_loopback_host(urlsplit(address).hostname or ""):
            raise impossible(f"{address} is not this machine: --allow-remote asks it nevertheless.")


def _parsed(text: str) -> tuple[str, Any]:
    try:
        return parse_claim(text)
    except ValueError as error:
        raise impossible(f"--claim: {error}.") from None


@contextmanager
def _trusted(
    file: Path | None, algorithm: str | None, kid: str | None, issuer: str | None
) -> Iterator[tuple[Callable[[], SigningKey], FakeIssuer | None]]:
    """Yield what returns the key that the server trusts now, and the issuer if one is served."""
    if (file is None) == (issuer is None):
        raise impossible("give --key, or --issuer, which makes its own keys")
    try:
        if file is not None:
            key = SigningKey.load(file.read_bytes().rstrip(b"\r\n"), algorithm, kid)
            yield (lambda: key), None
            return
        at = urlsplit(issuer or "")
        served = FakeIssuer(
            algorithm=algorithm or "RS256", host=at.hostname or "", port=at.port or 0, path=at.path
        )
    except (OSError, ValueError) as error:
        raise impossible(f"the key cannot be used: {error}.") from None
    with served:
        yield (lambda: served.signing_key), served


def _maker(
    signing: Callable[[], SigningKey],
    issuer: FakeIssuer | None,
    given: Mapping[str, Any],
    claims: Mapping[str, Any],
    typ: str,
) -> Maker:
    """Make what makes the requests, with the names of all that questions can need."""
    members = {
        "iss": issuer and issuer.issuer,
        "sub": "conformance",
        "client_id": "conformance",
        "aud": given["aud"],
        "scope": given["scope"],
        **claims,
    }
    good = {name: value for name, value in members.items() if value is not None}
    key = signing()
    facts = {
        "iss": good.get("iss"),
        "issuer": issuer is not None,
        "secret": key.is_secret,
        "asymmetric": not key.is_secret,
        "any_typ": not given["rfc9068"],
        "ecdsa": key.algorithm.startswith("ES"),
        **given,
    }
    known = {name: value for name, value in facts.items() if value}
    if issuer is not None:
        known["elsewhere"] = f"{issuer.origin}/elsewhere"
    maker = Maker(signing, {"typ": typ}, good, known)
    if issuer is not None and not key.is_secret:
        issuer.elsewhere = Answer.json({"keys": [maker.other.jwk]})
    return maker


def _results(server: Server, only: str) -> dict[Document, list[Result]]:
    chosen = {
        document: [it for it in document.questions if it.id.startswith(only)]
        for document in documents()
    }
    found = iter(ask(server, [it for questions in chosen.values() for it in questions]))
    return {document: [next(found) for _ in questions] for document, questions in chosen.items()}


def _write(path: Path, results: Mapping[Document, list[Result]]) -> None:
    try:
        write_junit(path, results)
    except OSError as error:
        raise impossible(f"--junit: {path} cannot be written: {error.strerror}.") from None
