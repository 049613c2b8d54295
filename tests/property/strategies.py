"""Hypothesis strategies for input of clients, issuers and deployers.

Runs are reproducible: the examples follow from the test, no database is kept. `PROPERTY_EXAMPLES`
in the environment makes a run longer, and random.
"""

import json
import os
import string
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import SecretStr

from tests.minting import ALGORITHMS, NOW, OTHER_SECRET, SECRET, b64, mint_raw, pair

_EXAMPLES = os.environ.get("PROPERTY_EXAMPLES")

#: Decorates every property.
reproducible = settings(
    max_examples=int(_EXAMPLES or 60), derandomize=_EXAMPLES is None, database=None, deadline=None
)

ALPHABET = string.ascii_letters + string.digits + "-_"

# JSON

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text()
    | st.text(st.characters())
)
json_values: SearchStrategy[Any] = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=12,
)
json_objects: SearchStrategy[dict[str, Any]] = st.dictionaries(st.text(), json_values, max_size=6)

#: Values that survive JSON unchanged and that this package reads.
plain_values: SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children, max_size=4)
    ),
    max_leaves=12,
)
plain_objects: SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])), plain_values, max_size=6
)


def _written(value: object) -> bytes:
    return json.dumps(value).encode()


# Headers and payloads, close enough to good ones to pass the first checks

_header_members = st.fixed_dictionaries(
    {"alg": st.sampled_from([*ALGORITHMS, "none"]) | json_values},
    optional={
        "typ": st.sampled_from(["JWT", "at+jwt", "dpop+jwt"]) | json_values,
        "kid": st.text() | json_values,
        "crit": json_values,
        "jwk": json_values,
        "jku": json_values,
    },
)
header_bytes = _header_members.map(_written) | json_objects.map(_written) | st.binary()

_times = st.integers(NOW - 400, NOW + 400) | st.floats(NOW - 400, NOW + 400) | json_values
payload_members: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "exp": _times,
        "nbf": _times,
        "iat": _times,
        "sub": st.text() | json_values,
        "iss": st.sampled_from(["https://issuer", "https://evil"]) | json_values,
        "aud": st.sampled_from(["api", ["api", "x"], []]) | json_values,
        "cnf": json_values,
        "scope": json_values,
    },
)
payload_bytes = payload_members.map(_written) | json_objects.map(_written) | st.binary()

# Tokens

texts = st.text() | st.text(st.characters())
_segments = st.text(ALPHABET, max_size=20) | st.binary(max_size=60).map(b64)
shaped_texts = st.lists(_segments | texts, min_size=1, max_size=7).map(".".join)
unsigned_tokens = st.builds(
    lambda header, payload, signature: f"{b64(header)}.{b64(payload)}.{b64(signature)}",
    header_bytes,
    payload_bytes,
    st.binary(max_size=80),
)
signed_tokens = st.builds(mint_raw, header_bytes, payload_bytes, st.just(SECRET), st.just("HS256"))

# Requests

_header_names = st.sampled_from(
    [b"authorization", b"cookie", b"sec-fetch-site", b"origin", b"host", b"x-token"]
)
_header_values = st.binary(max_size=40) | st.sampled_from(
    [
        b"Bearer",
        b"Bearer a.b.c",
        b"bearer  a.b.c",
        b"Basic YTpi",
        b"access_token=a.b.c",
        b"access_token=a; access_token=b",
        b"same-origin",
        b"cross-site",
        b"null",
        b"https://api.example",
        b"api.example",
        b"api.example:443",
    ]
)
header_lists = st.lists(
    st.tuples(_header_names | st.binary(max_size=12), _header_values), max_size=8
)
methods = st.none() | st.sampled_from(["GET", "POST", "OPTIONS"]) | st.text(max_size=8)
subprotocol_lists = st.lists(st.sampled_from(["bearer", "a.b.c", "chat"]) | st.text(), max_size=5)

# Configurations

_junk = (
    json_values
    | st.binary(max_size=20)
    | st.sets(st.text(), max_size=3)
    | st.tuples(st.text(), st.integers())
    | st.builds(SecretStr, st.text())
    | st.just(Path("/nowhere"))
    | st.sampled_from(["[", "[1", '["a"]', "a,b", ",", "HS256,HS384", "none", "-----BEGIN"])
    | st.builds(object)
)
_names = st.sampled_from(
    [
        "secret_key",
        "algorithm",
        "token_source",
        "token_header_key",
        "cookie_name",
        "cookie_requests",
        "validate",
        "excluded_route_paths",
        "scopes_claim",
        "roles_claim",
        "user_id_claim",
        "session_id_claim",
        "dependencies_claims",
        "session_state_claims",
        "issuer",
        "audience",
        "verification_keys",
        "jwks_file",
        "leeway",
        "require_exp",
        "max_token_size",
    ]
)
_texts_of_keys = st.sampled_from(
    [
        SECRET,
        OTHER_SECRET,
        pair("RSA").public_pem,
        pair("RSA").private_pem,
        pair("P-256").public_pem,
        pair("P-256").public_pem[:60],
        "ssh-rsa AAAA" * 8,
    ]
)
junk_settings: SearchStrategy[dict[str, Any]] = st.builds(
    lambda base, changes, junk: {**base, **changes, **junk},
    st.fixed_dictionaries({"secret_key": _texts_of_keys}),
    st.fixed_dictionaries({}, optional={"algorithm": st.sampled_from(ALGORITHMS)}),
    st.dictionaries(_names, _junk, max_size=3),
)

key_texts = st.text(min_size=32) | _texts_of_keys | json_objects.map(json.dumps) | texts

_jwks = st.sampled_from([pair(kind).jwk(kid="a") for kind in ("RSA", "P-256", "P-521", "Ed25519")])
_jwk_junk: SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["kty", "crv", "kid", "alg", "use", "key_ops", "n", "e", "x", "y", "d", "k"]),
    json_values | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "RS256"]),
    max_size=3,
)
jwk_sets: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "keys": st.lists(
            st.builds(lambda jwk, junk: {**jwk, **junk}, _jwks, _jwk_junk) | json_values, max_size=4
        )
        | json_values
    }
)
