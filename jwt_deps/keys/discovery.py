"""Find an issuer's JWK Set through its own discovery document.

OpenID Connect Discovery 1.0 and OAuth 2.0 Authorization Server Metadata (RFC 8414). Two members
are read, `issuer` and `jwks_uri`; nothing else in the document changes what is accepted.
"""

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from jwt_deps.jose import parse_document

from .http import Fetcher, FetchError, shown

_CURE = "JWT_DISCOVERY_URL (discovery_url) can say where the document is"


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


async def discover(issuer: str, urls: Sequence[str], fetcher: Fetcher, *, seconds: float) -> str:
    """Find the URL of an issuer's JWK Set.

    Every place is asked until one has the document: what answers for the others, or does not
    answer, may be a router in front of the issuer that knows the issuer's own path alone.

    Each place gets an equal share of what is left of the seconds.

    Raises:
        FetchError: no document, or one of another issuer (RFC 8414 §3.3: the two "MUST be
            identical"), or one that names no acceptable URL. It is an outage if one of the places
            gave no answer: the document may be there.
    """
    problems: list[FetchError] = []
    ends_at = time.monotonic() + seconds
    for left, url in zip(range(len(urls), 0, -1), urls, strict=True):
        try:
            async with asyncio.timeout((ends_at - time.monotonic()) / left):
                fetched = await fetcher.get(url)
            document = parse_document(fetched.body)
            return _jwks_uri(document, issuer, url, fetcher)
        except FetchError as error:
            problems.append(error)
        except TimeoutError:
            problems.append(FetchError(f"{shown(url)} did not answer in time"))
        except ValueError:  # an HTML page, as some sites send for each path
            problems.append(FetchError(f"{shown(url)} is not a JSON object", outage=False))
    # The last problem comes first: most issuers have no document at the other places.
    told = [*map(str, reversed(problems)), _CURE]
    raise FetchError(
        "; ".join(told),
        outage=any(problem.outage for problem in problems),
        withdrawn=all(problem.withdrawn for problem in problems),
    )


def _jwks_uri(document: dict[str, object], issuer: str, url: str, fetcher: Fetcher) -> str:
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
        fetcher.check_url(jwks_uri)
    except ValueError as error:
        raise FetchError(f"the jwks_uri in {shown(url)} {error}", outage=False) from None
    return jwks_uri
