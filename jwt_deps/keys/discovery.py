"""Find an issuer's JWK Set through its own discovery document.

OpenID Connect Discovery 1.0 and OAuth 2.0 Authorization Server Metadata (RFC 8414). Two members
are read, `issuer` and `jwks_uri`; nothing else in the document changes what is accepted.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from jwt_deps.jose import parse_object

from .http import Fetcher, FetchError, shown, split_url

__all__ = ["discover", "well_known_urls"]


def well_known_urls(issuer: str) -> tuple[str, ...]:
    """Return the URLs at which an issuer's document can be, in the order in which to ask.

    RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID Connect Discovery
    §4 behind it.
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    candidates = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(candidates))


async def discover(
    issuer: str, urls: Sequence[str], fetcher: Fetcher, *, allow_loopback: bool
) -> str:
    """Find the URL of an issuer's JWK Set.

    Raises:
        FetchError: no document, or one of another issuer (RFC 8414 §3.3: the two "MUST be
            identical"), or one that names no acceptable URL.
    """
    problems: list[str] = []
    for url in urls:
        try:
            fetched = await fetcher.get(url)
            document = parse_object(fetched.body or b"")
            return _jwks_uri(document, issuer, url, allow_loopback=allow_loopback)
        except FetchError as error:
            if error.outage:  # it does not show where the document is
                raise
            problems.append(str(error))
        except ValueError:  # an HTML page, as some sites send for each path
            problems.append(f"{shown(url)} is no JSON object")
    # The last problem comes first: most issuers have no document at the other places.
    raise FetchError("; ".join(reversed(problems)), outage=False)


def _jwks_uri(document: dict[str, object], issuer: str, url: str, *, allow_loopback: bool) -> str:
    named = document.get("issuer")
    if named != issuer:
        raise FetchError(
            f"the issuer in {shown(url)} is {str(named)[:256]!r} and the one configured "
            f"{issuer!r}: they have to be identical, to the last slash",
            outage=False,
        )
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise FetchError(f"{shown(url)} names no jwks_uri", outage=False)
    try:
        split_url(jwks_uri, allow_loopback=allow_loopback)
    except ValueError as error:
        raise FetchError(f"the jwks_uri in {shown(url)} {error}", outage=False) from None
    return jwks_uri
