"""Key sets: each key has exactly one algorithm, and is chosen by `kid` and `alg`."""

import logging
import re
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jwt_deps.errors import ConfigurationError, UnknownKeyError
from jwt_deps.jose import (
    ALGORITHMS,
    FOR_ENCRYPTION,
    HMAC_ALGORITHMS,
    JWK_SET,
    NOT_SUPPORTED,
    STATIC_KEYS,
    KeyForm,
    PublicKey,
    SignatureKey,
    algorithms_of,
    is_pem,
    jwk_public_key,
    jwk_unused,
    key_form,
    no_secret,
    pem_public_key,
    require_strong_secret,
    signature_key,
)

logger = logging.getLogger("jwt_deps")

#: Most keys that an issuer's JWK Set may hold: those of real issuers have fewer than 20.
_MAX_KEYS = 100
_MAX_SHOWN = 64  # characters of a name
_QUOTED = re.compile(r"(['\"`]).*\1|.*(?:\\n|\\r)", re.DOTALL)
_NOT_ACCEPTED = "its algorithm is not accepted"
_OTHER_TENANT = "it is of another tenant"
# What real issuers publish beside their keys for signatures: no reason for a warning.
_EXPECTED = frozenset({FOR_ENCRYPTION, NOT_SUPPORTED, _NOT_ACCEPTED, _OTHER_TENANT})

#: The id of a tenant of Entra ID. The key set of all tenants says which of its keys is of one.
TENANT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: In the `iss` of settings that need the keys of every tenant.
EVERY_TENANT = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """One key for one algorithm (RFC 8725 §3.1) that checks signatures."""

    algorithm: str
    kid: str | None = None
    key: SignatureKey = field(repr=False, compare=False)
    public: PublicKey | None = field(default=None, repr=False, compare=False)
    issuer: str | None = field(default=None, repr=False, compare=False)
    """What the JWK names as its `issuer`, as those of Entra ID do."""

    def issuer_with(self, tenant: str) -> str | None:
        """The issuer, of this tenant if it is one for all tenants."""
        return self.issuer and self.issuer.replace("{tenantid}", tenant)


class SkippedKey(NamedTuple):
    """A member of a JWK Set that is not used; a reason with an underscore is in docs/errors.md."""

    kid: str | None
    reason: str

    @classmethod
    def of(cls, entry: object, reason: str) -> "SkippedKey":
        """Name the member."""
        kid = entry.get("kid") if isinstance(entry, dict) else None
        return cls(kid if isinstance(kid, str) else None, reason)

    def __str__(self) -> str:
        name = "a key without kid" if self.kid is None else repr(self.kid[:_MAX_SHOWN])
        return f"{name}: {self.reason}"


class NoUsableKeyError(ValueError):
    """An issuer's JWK Set has no key that checks signatures here."""


class _UnusedError(Exception):
    """A member of a JWK Set is no key, or is meant for something else."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys of one configuration, indexed, so that choosing one costs the same for any number.

    `static` keys have no `kid` and serve every token whose `alg` fits them. Keys of a JWK Set
    serve the tokens that name them, or, for a token that names none, the one that fits.
    """

    algorithms: frozenset[str]
    static: Mapping[str, tuple[VerificationKey, ...]] = field(repr=False)
    named: Mapping[tuple[str, str], VerificationKey] = field(repr=False)
    kids: frozenset[str] = field(repr=False)
    in_set: Mapping[str, tuple[VerificationKey, ...]] = field(repr=False)
    most_unnamed: int = field(repr=False)
    """How many keys of the JWK Set are tried for a token that names none."""
    secret: bytes | None = field(default=None, repr=False)
    """The shared secret to sign with; `None` if there is none, or a public key in its place."""

    @classmethod
    def build(  # noqa: PLR0913 - each by name
        cls,
        algorithms: Sequence[str],
        static: Sequence[str | bytes] = (),
        jwks: Mapping[str, Any] | None = None,
        *,
        most_unnamed: int = 1,
        elsewhere: Collection[str] = (),
        issuers: Collection[str] = (),
    ) -> "KeySet":
        """Build the set from shared secrets, public keys in PEM, and a JWK Set.

        `elsewhere` are the algorithms for which keys are fetched as well, and `issuers` those that
        sign with the keys; empty if any may.

        Raises:
            ConfigurationError: for anything that could never work, or only by weakening a check.
        """
        algorithms = tuple(dict.fromkeys(algorithms))  # an algorithm named twice counts once
        allowed = _allowed(algorithms)
        fixed = [key for text in static for key in _static_keys(text, algorithms)]
        secrets = {key.algorithm for key in fixed} & HMAC_ALGORITHMS.keys()
        if jwks is not None and secrets != allowed & HMAC_ALGORITHMS.keys():
            require_asymmetric(algorithms)
        listed = _jwks_keys(jwks, algorithms, issuers) if jwks is not None else []
        if not fixed and not listed:
            raise ConfigurationError(
                "no_key",
                "There is no key to check a token with: set JWT_SECRET_KEY (secret_key), "
                "JWT_VERIFICATION_KEYS (verification_keys) or JWT_JWKS_FILE (jwks_file), or have "
                "them fetched with JWT_DISCOVERY=true (discovery) or JWT_JWKS_URL (jwks_url).",
            )
        served = {key.algorithm for key in (*fixed, *listed)}
        unserved = sorted(allowed - served - frozenset(elsewhere))
        if unserved:
            raise ConfigurationError(
                "algorithm_without_key",
                f"No configured key fits {', '.join(unserved)}: remove it from JWT_ALGORITHM "
                "(algorithm) or add a key for it.",
            )
        return cls._of(allowed, fixed, listed, most_unnamed)

    @classmethod
    def from_response(
        cls,
        algorithms: Sequence[str],
        jwks: Mapping[str, Any],
        *,
        most_unnamed: int = 1,
        issuers: Collection[str] = (),
    ) -> tuple["KeySet", tuple[SkippedKey, ...]]:
        """Build the set from an issuer's JWK Set, and list the members that are not used.

        It cannot be corrected here, unlike a file of one's own, so a bad member is skipped.

        Raises:
            NoUsableKeyError: a JWK Set in which nothing is usable.
            ValueError: not a JWK Set, or too large.
        """
        entries = jwks.get("keys")
        if not isinstance(entries, list):
            raise ValueError(_other_document(jwks))  # noqa: TRY004 - one error for all
        if len(entries) > _MAX_KEYS:
            raise ValueError(f"has more than {_MAX_KEYS} keys")
        skipped: list[SkippedKey] = []
        found: list[list[VerificationKey]] = []
        for entry in entries:
            try:
                found.append(_jwk_keys(entry, algorithms, issuers))
            except _UnusedError as unused:
                skipped.append(SkippedKey.of(entry, str(unused)))
            except ConfigurationError as error:
                skipped.append(SkippedKey.of(entry, error.reason))
        listed = _unambiguous(key for keys in found for key in keys)
        skipped += (
            SkippedKey(keys[0].kid, "another key has its kid")
            for keys in found
            # Names and algorithms are what keys are compared by.
            if not any(map(listed.__contains__, keys))
        )
        if not listed:
            none = f"has no usable key for {', '.join(algorithms)}"
            raise NoUsableKeyError(_with(none, skipped))
        return cls._of(frozenset(algorithms), (), listed, most_unnamed), tuple(skipped)

    @classmethod
    def empty(cls) -> "KeySet":
        """A set that knows no key."""
        return cls._of(frozenset(), (), (), 1)

    @classmethod
    def _of(
        cls,
        algorithms: frozenset[str],
        fixed: Iterable[VerificationKey],
        listed: Iterable[VerificationKey],
        most_unnamed: int,
    ) -> "KeySet":
        return cls(
            algorithms=algorithms,
            static=_by_algorithm(fixed),
            named=_by_name(listed),
            kids=frozenset(key.kid for key in listed if key.kid is not None),
            in_set=_by_algorithm(listed),
            most_unnamed=most_unnamed,
        )

    @property
    def size(self) -> int:
        """How many keys there are, each counted once per algorithm."""
        return sum(map(len, (*self.static.values(), *self.in_set.values())))

    def choose(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        """Choose the keys that may check a token, which is one, or the static ones that fit.

        Raises:
            UnknownKeyError: no key is meant for such a token. A `kid` that names a key of the
                JWK Set is final: if that key does not fit `algorithm`, no other is tried.
        """
        if kid in self.kids:
            named = self.named.get((kid, algorithm))
            if named is None:
                raise UnknownKeyError
            return (named,)
        candidates = self.static.get(algorithm, ())
        if kid is None:
            unnamed = self.in_set.get(algorithm, ())
            if len(unnamed) <= self.most_unnamed:  # more would mean trying them all
                candidates = (*unnamed, *candidates)
        if not candidates:
            raise UnknownKeyError
        return candidates


def _other_document(members: Mapping[str, Any]) -> str:
    """Say what is at the place of a JWK Set."""
    if "jwks_uri" in members:
        return "is a discovery document: set JWT_DISCOVERY_URL (discovery_url) to its address"
    if members and all(isinstance(text, str) and is_pem(text) for text in members.values()):
        return "is not a JWK Set but certificates: set JWT_JWKS_URL (jwks_url) to the JWK Set"
    return "is not a JWK Set"


def _allowed(algorithms: Sequence[str]) -> frozenset[str]:
    allowed = frozenset(algorithms)
    if not allowed or not allowed <= ALGORITHMS:
        # The name is not quoted: a secret set in the wrong variable would be shown.
        raise ConfigurationError(
            "unknown_algorithm",
            f"JWT_ALGORITHM (algorithm) names {'what is not supported' if allowed else 'nothing'}; "
            f"it takes one or several of {', '.join(sorted(ALGORITHMS))}.",
        )
    return allowed


def require_asymmetric(algorithms: Sequence[str]) -> None:
    """Refuse algorithms that a JWK Set cannot serve."""
    allowed = _allowed(algorithms)
    if not allowed.isdisjoint(HMAC_ALGORITHMS):
        # An HS* token is signed with whatever the verifier holds, and a JWK Set holds
        # nothing secret (RFC 8725 §2.1).
        raise ConfigurationError(
            "hmac_and_jwks",
            "HS* algorithms and a JWK Set exclude each other: set JWT_ALGORITHM (algorithm) "
            "to the issuer's signature algorithm, for example RS256.",
        )


def _static_keys(text: str | bytes, algorithms: Sequence[str]) -> list[VerificationKey]:
    """One text serves the allowed algorithms that fit it, and has to serve one."""
    if isinstance(text, bytes):
        return _secret_keys(text, algorithms)
    try:
        secret = text.encode()
    except UnicodeEncodeError:
        # `from None`: the codec's error holds the text.
        raise ConfigurationError(
            "secret_not_text",
            f"A key in {STATIC_KEYS} is not UTF-8 text: set one that is, for example of "
            "`openssl rand -base64 48`.",
        ) from None
    if is_pem(text):
        public = pem_public_key(text)
        fitting = [name for name in algorithms if name in algorithms_of(public)]
        keys = [
            VerificationKey(algorithm=name, key=signature_key(public, name)) for name in fitting
        ]
        return _fitting(keys, "a public key", algorithms)
    keys = _secret_keys(secret, algorithms)
    if text.strip(f"{string.whitespace}\ufeff") != text or _QUOTED.fullmatch(text):
        logger.warning(
            "a secret in %s begins or ends with white space, or is in quotes: all of it is "
            "part of the secret, so remove it unless the issuer signs with it too",
            STATIC_KEYS,
        )
    return keys


def _secret_keys(secret: bytes, algorithms: Sequence[str]) -> list[VerificationKey]:
    if (form := key_form(secret)) is not None:
        raise no_secret(form)
    fitting = [name for name in algorithms if name in HMAC_ALGORITHMS]
    for name in fitting:
        require_strong_secret(secret, name)
    try:
        keys = [
            VerificationKey(algorithm=name, key=signature_key(secret, name)) for name in fitting
        ]
    except ValueError:
        raise no_secret(KeyForm.OPENSSH) from None
    return _fitting(keys, "a shared secret", algorithms)


def _fitting(
    keys: list[VerificationKey], kind: str, algorithms: Sequence[str]
) -> list[VerificationKey]:
    if not keys:
        raise ConfigurationError(
            "unfit_key",
            f"A key in {STATIC_KEYS} is {kind} and fits none of {', '.join(algorithms)}: "
            "remove it, or set JWT_ALGORITHM (algorithm) to what the issuer signs with.",
        )
    return keys


def _jwks_keys(
    jwks: Mapping[str, Any], algorithms: Sequence[str], issuers: Collection[str]
) -> list[VerificationKey]:
    entries = jwks.get("keys")
    if not isinstance(entries, list):
        raise ConfigurationError(
            "jwks_without_keys", f'The JWK Set in {JWK_SET} has no "keys" array (RFC 7517 §5.1).'
        )
    found: list[VerificationKey] = []
    skipped: list[SkippedKey] = []
    for entry in entries:
        try:
            found += _jwk_keys(entry, algorithms, issuers)
        except _UnusedError as unused:
            skipped.append(SkippedKey.of(entry, str(unused)))
    if not found:
        none = f"No key in {JWK_SET} checks signatures with {', '.join(algorithms)}"
        raise ConfigurationError(
            "jwks_unused",
            f"{_with(none, skipped)}. Set JWT_ALGORITHM (algorithm) to what the issuer signs with.",
        )
    log_skipped(JWK_SET, skipped)
    return found


def log_skipped(source: str, skipped: Sequence[SkippedKey]) -> None:
    """Say which keys are not used, and why."""
    if skipped:
        expected = all(key.reason in _EXPECTED for key in skipped)
        level = logging.INFO if expected else logging.WARNING
        logger.log(level, "%s", _with(f"{source}: keys that are not used", skipped))


def _with(text: str, skipped: Sequence[SkippedKey]) -> str:
    """Add the keys that are not used to a sentence about them."""
    return f"{text}: {'; '.join(map(str, skipped))}" if skipped else text


def _jwk_keys(
    jwk: Any, algorithms: Sequence[str], issuers: Collection[str]
) -> list[VerificationKey]:
    """One JWK serves the allowed algorithms that fit it."""
    if not isinstance(jwk, dict):
        raise _UnusedError("it is not a JSON object")
    if (unused := jwk_unused(jwk)) is not None:
        raise _UnusedError(unused)
    if issuers and _is_of_another_tenant(jwk, issuers):
        raise _UnusedError(_OTHER_TENANT)
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ConfigurationError("kid_form", f"A key in {JWK_SET} has a kid that is not a string.")
    public = jwk_public_key(jwk)
    issuer = str(jwk["issuer"]) if "issuer" in jwk else None
    keys = [
        VerificationKey(
            algorithm=name,
            kid=kid,
            key=signature_key(public, name),
            public=public,
            issuer=issuer,
        )
        for name in algorithms
        if name in algorithms_of(public) and jwk.get("alg", name) == name
    ]
    if not keys:
        raise _UnusedError(_NOT_ACCEPTED)
    return keys


def _is_of_another_tenant(jwk: Mapping[str, Any], issuers: Collection[str]) -> bool:
    # By the tenant alone: its issuer has one name in version 1 of Entra ID and one in version 2.
    tenant = TENANT_ID.search(str(jwk.get("issuer")).lower())
    return tenant is not None and not any(
        tenant[0] in it.lower() or EVERY_TENANT in it for it in issuers
    )


def _unambiguous(keys: Iterable[VerificationKey]) -> list[VerificationKey]:
    """Drop different keys that share a name and an algorithm; keep equal ones once."""
    by_name: dict[tuple[str | None, str], list[VerificationKey]] = {}
    for key in keys:
        same = by_name.setdefault((key.kid, key.algorithm), [])
        if not any(key.public == other.public for other in same):
            same.append(key)
    clear = [same for (kid, _), same in by_name.items() if kid is None or len(same) == 1]
    return [key for same in clear for key in same]


def _by_algorithm(keys: Iterable[VerificationKey]) -> dict[str, tuple[VerificationKey, ...]]:
    index: dict[str, tuple[VerificationKey, ...]] = {}
    for key in keys:
        index[key.algorithm] = (*index.get(key.algorithm, ()), key)
    return index


def _by_name(keys: Iterable[VerificationKey]) -> dict[tuple[str, str], VerificationKey]:
    index: dict[tuple[str, str], VerificationKey] = {}
    for key in keys:
        if key.kid is None:
            continue
        if (key.kid, key.algorithm) in index:
            raise ConfigurationError(
                "kid_twice",
                f"Two keys in {JWK_SET} share one kid and one algorithm: which of them is meant "
                "cannot be told, give each its own kid.",
            )
        index[key.kid, key.algorithm] = key
    return index
