"""What `create_access_token` makes verifies under the same settings, or is not made."""

import asyncio
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import ConfigurationError, JWTSettings, create_access_token
from jwt_deps.tokens import authenticate_token
from tests.minting import ALGORITHMS, KeyPair, signing_key, verification_text

from .strategies import plain_objects, reproducible

names = st.sampled_from(["sub", "uid", "a.b", "a.c", "a", "https://shop.example/user"])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
issuers = st.sampled_from([None, "a", ["b", "a"]])

settings_values = st.fixed_dictionaries(
    {"algorithm": st.sampled_from(ALGORITHMS)},
    optional={
        "issuer": issuers,
        "audience": issuers,
        "audience_claim": st.sampled_from(["aud", "client_id"]),
        "user_id_claim": names,
        "session_id_claim": names,
        "scopes_claim": names,
        "roles_claim": names,
        "leeway": st.integers(0, 300),
        "require_exp": st.booleans(),
        "max_token_size": st.sampled_from([200, 16384]),
        "profile": st.sampled_from(["rfc7519", "rfc9068"]),
    },
)
claims = plain_objects | st.dictionaries(
    st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "client_id", "cnf", "a"]),
    st.sampled_from(["a", "b", 1, 10**10, {"b": "c"}, ["a"], None]),
)


@reproducible
@given(
    values=settings_values,
    signer=st.sampled_from(ALGORITHMS) | st.none(),
    user=words,
    session=st.none() | words,
    scopes=st.lists(words, max_size=3),
    roles=st.lists(words, max_size=3),
    more=st.none() | claims,
    seconds=st.floats() | st.integers(-1, 7200),
)
def test_what_is_issued_is_accepted(
    values: dict[str, Any],
    signer: str | None,
    user: str,
    session: str | None,
    scopes: list[str],
    roles: list[str],
    more: dict[str, Any] | None,
    seconds: float,
) -> None:
    """Whatever the settings, the key and the claims."""
    algorithm = values["algorithm"]
    key = signing_key(signer or algorithm)
    try:
        settings = JWTSettings(secret_key=verification_text(algorithm), **values)
    except ConfigurationError:
        return  # the profile needs an issuer and an audience
    now = time.time()
    try:
        token = create_access_token(
            user,
            scopes=scopes,
            roles=roles,
            session_id=session,
            claims=more,
            expires_in=seconds,
            settings=settings,
            signing_key=key.private_pem if isinstance(key, KeyPair) else None,
        )
    except (ConfigurationError, ValueError):
        return

    principal = asyncio.run(authenticate_token(token, settings, clock=lambda: now))

    assert user == principal.user_id
    assert session is None or session == principal.session_id
    assert not scopes or set(scopes) == principal.scopes
    assert not roles or set(roles) == principal.roles


@reproducible
@given(values=settings_values, user=st.from_regex("[a-z]{1,8}", fullmatch=True))
def test_what_is_right_is_issued(values: dict[str, Any], user: str) -> None:
    """Nothing but a contradiction is refused."""
    algorithm, key = values["algorithm"], signing_key(values["algorithm"])
    values = {**values, "user_id_claim": "sub", "profile": "rfc7519", "max_token_size": 16384}
    settings = JWTSettings(secret_key=verification_text(algorithm), **values)

    token = create_access_token(
        user, settings=settings, signing_key=key.private_pem if isinstance(key, KeyPair) else None
    )

    assert user == asyncio.run(authenticate_token(token, settings)).user_id
