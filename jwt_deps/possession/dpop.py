"""Check DPoP proofs: the sender of a token has the key that it is bound to (RFC 9449 §4.3)."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jwt_deps.errors import (
    ConfigurationError,
    ConfirmationError,
    DPoPNonceError,
    DPoPProofError,
    Reason,
)
from jwt_deps.jose import (
    PublicKey,
    algorithms_of,
    encode_base64url,
    is_numeric_date,
    is_secret_jwk,
    jwk_public_key,
    jwk_unused,
    needs_extension,
    parse_compact,
    parse_object,
    signature_key,
    thumbprint,
)

from .nonces import Nonces
from .policy import SenderPolicy

#: The accepted `iat` of a proof, in seconds from now (RFC 9449 §11.1).
EARLIEST, LATEST = -60, 30

_LONGEST = 8192
_TYPE = "dpop+jwt"

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?[^#]*)?(?:#.*)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@\[\]]+)(?::([0-9]*))?")
_PATH = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]*")  # the same, without `?` and `#`
_VISIBLE = re.compile(r"[\x21-\x5b\x5d-\x7e]*")  # and no backslash, which some take for a slash
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# No URI has these unescaped (RFC 3986 §2), and browsers leave some of them so.
_FOREIGN = re.compile(r'["<>^`{|}]')
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that passed every check but that for replay; `next_nonce` is for the one after it."""

    key: str = field(repr=False)
    issued_at: float
    next_nonce: str | None


def check_proof(  # noqa: PLR0913 - what a proof has to match
    headers: Sequence[str],
    policy: SenderPolicy,
    *,
    method: str,
    path: str,
    token: str,
    bound_to: str,
    now: float,
) -> Proof:
    """Check the `DPoP` header of a request (RFC 9449 §4.3), each check with its own reason code.

    The key is compared with `bound_to`, the `cnf.jkt` of the token, before the signature is checked
    with it. The path is the one below the public origin, as it was sent.
    """
    header, claims, signing_input, signature = _parse(headers)
    if header.get("typ") != _TYPE:
        raise DPoPProofError(Reason.PROOF_TYPE, "its type is not dpop+jwt")
    algorithm = header.get("alg")
    if algorithm not in policy.algorithms:
        raise DPoPProofError(Reason.PROOF_ALGORITHM, "its algorithm is not accepted")
    key = _bound_key(header.get("jwk"), bound_to)
    if algorithm not in algorithms_of(key):
        raise DPoPProofError(Reason.PROOF_ALGORITHM, "its algorithm is not that of its key")
    if not signature_key(key, algorithm).verify(signing_input, signature):
        raise DPoPProofError(Reason.PROOF_SIGNATURE, "its signature is not that of its key")
    if claims["htm"] != method:  # RFC 9110 §9.1: methods are case-sensitive
        raise DPoPProofError(Reason.PROOF_METHOD, "it is for another method")
    target = _target(claims["htu"], policy.origin, path)
    if claims.get("ath") != _digest(token):
        raise DPoPProofError(Reason.PROOF_TOKEN, "it is for another access token")
    next_nonce = _next_nonce(claims, policy.nonces, now)
    _check_times(claims, now)
    digest = _digest("|".join((bound_to, target, claims["jti"])))
    return Proof(f"{bound_to}.{digest}", claims["iat"], next_nonce)


def _parse(headers: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    if not headers:
        raise DPoPProofError(Reason.PROOF_MISSING, "the request has no DPoP header")
    if len(headers) > 1:
        raise DPoPProofError(Reason.PROOF_REPEATED, "the request has more than one DPoP header")
    text = headers[0].strip(" \t").encode("ascii", "replace")  # what is replaced is refused
    parsed = None
    if len(text) <= _LONGEST:
        with suppress(ValueError):
            jws = parse_compact(text)
            parsed = jws, parse_object(jws.header), parse_object(jws.payload)
    # Raised outside of the handler: the parser's error quotes the header.
    if parsed is None or needs_extension(parsed[1]):
        raise DPoPProofError(Reason.PROOF_MALFORMED, "it is not one JWT that can be read")
    jws, header, claims = parsed
    if not _has_required(claims):
        raise DPoPProofError(Reason.PROOF_CLAIMS, "it lacks one of jti, htm, htu and iat")
    return header, claims, jws.signing_input, jws.signature


def _has_required(claims: Mapping[str, Any]) -> bool:
    texts = (claims.get(name) for name in ("jti", "htm", "htu"))
    return all(isinstance(text, str) and text for text in texts) and is_numeric_date(
        claims.get("iat")
    )


def _bound_key(jwk: object, bound_to: str) -> PublicKey:
    if not isinstance(jwk, dict):
        raise DPoPProofError(Reason.PROOF_KEY, "it holds no public key")
    if is_secret_jwk(jwk):
        raise DPoPProofError(Reason.PROOF_PRIVATE_KEY, "it holds a private key")
    found = None
    with suppress(ConfigurationError, ValueError):
        if jwk_unused(jwk) is None:
            found = jwk_public_key(jwk), thumbprint(jwk)
    if found is None:
        raise DPoPProofError(Reason.PROOF_KEY, "it holds no public key that can be used")
    key, name = found
    if not hmac.compare_digest(name.encode(), bound_to.encode()):
        raise ConfirmationError(Reason.PROOF_BINDING, "Invalid DPoP key binding")
    return key


def _target(claimed: str, origin: str, path: str) -> str:
    """The URI that a proof and its request are for."""
    with suppress(ValueError):
        target = request_uri(origin, path)
        if target_uri(claimed) == target:
            return target
    raise DPoPProofError(Reason.PROOF_TARGET, "it is for another target")


def _digest(text: str) -> str:
    return encode_base64url(hashlib.sha256(text.encode()).digest())


def _next_nonce(claims: Mapping[str, Any], nonces: Nonces | None, now: float) -> str | None:
    if nonces is None:
        return None
    nonce = claims.get("nonce")
    age = nonces.age(nonce, now) if isinstance(nonce, str) else None
    if age is None:
        raise DPoPNonceError(nonces.issue(now))
    return nonces.issue(now) if nonces.is_stale(age) else None


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    if not EARLIEST <= claims["iat"] - now <= LATEST:
        raise DPoPProofError(Reason.PROOF_TIME, "it was not made just now")
    begins, ends = claims.get("nbf", now), claims.get("exp", now)
    if not (
        is_numeric_date(begins)
        and is_numeric_date(ends)
        and begins <= now + LATEST
        and now < ends + LATEST
    ):
        raise DPoPProofError(Reason.PROOF_TIME, "it is not valid now")


def target_uri(uri: str) -> str:
    """Normalise the URI that a proof names, without its query and fragment (RFC 9449 §4.3).

    By RFC 3986 §6.2.2 and §6.2.3: scheme and host in lower case, escapes in upper case and only
    where they are needed, no dot segments, no default port, `/` for an empty path. `%2F` stays,
    because it is not a slash.

    Raises:
        ValueError: it is no URI with an authority, or has user information.
    """
    parts = _URI.fullmatch(uri) if _VISIBLE.fullmatch(uri) else None
    authority = _AUTHORITY.fullmatch(parts[2]) if parts else None
    if parts is None or authority is None:
        raise ValueError("no URI that names a target")
    scheme = parts[1].lower()
    host, port = _escaped(authority[1]).lower(), authority[2]
    # Lower case is for the host's letters, upper case for those of its escapes.
    host = _ESCAPE.sub(lambda escape: escape[0].upper(), host)
    shown = "" if not port or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    path = _without_dots(_escaped(parts[3])) or "/"
    return f"{scheme}://{host}{shown}{path}"


def request_uri(origin: str, path: str) -> str:
    """Return the URI of a request in the form that `target_uri` has.

    Routers serve a path as it is: `/a/../b` is not `/b` to them, and `#` ends nothing. So only
    escapes are normalised, and a path that a claim would lose parts of is refused.

    Raises:
        ValueError: it is no absolute path, or has a fragment or dot segments.
    """
    escaped = _escaped(path)
    if not _PATH.fullmatch(escaped) or not {".", ".."}.isdisjoint(escaped.split("/")):
        raise ValueError("no path that a proof is for")
    return origin + escaped


def origin_of(uri: str) -> str:
    """Normalise a public origin, and the path prefix that a proxy removes, if there is one.

    Raises:
        ValueError: it is no `http` or `https` URI, or has a query or a fragment.
    """
    if "?" in uri or "#" in uri:
        raise ValueError("has a query or a fragment")
    normalised = target_uri(uri)
    if normalised.partition(":")[0] not in _DEFAULT_PORTS:
        raise ValueError("does not begin with https://")
    return normalised.rstrip("/")


def _escaped(text: str) -> str:
    """Escape the characters that have to be, and no others (RFC 3986 §6.2.2.1, §6.2.2.2)."""
    return _ESCAPE.sub(_normalised, _FOREIGN.sub(lambda found: f"%{ord(found[0]):02X}", text))


def _normalised(escape: re.Match[str]) -> str:
    if escape[1] is None:
        raise ValueError("an escape is cut short")
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986 §5.2.4) of a path that is empty or begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for position, segment in enumerate(segments):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
            continue
        if position == len(segments) - 1:
            kept.append("")
    return "".join(f"/{segment}" for segment in kept)
