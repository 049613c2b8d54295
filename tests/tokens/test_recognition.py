"""A cached token is treated exactly as a new one."""

import asyncio
import copy
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import AuthError, JWTSettings, Reason
from jwt_deps.tokens import Principal, authenticate_token
from jwt_deps.tokens.verify import verify
from tests.minting import NOW, OTHER_SECRET, SECRET, claims, clock, compact, mint, mint_raw

TOKEN = mint(claims(scope="read write", roles=["a"], profile={"name": ["Alice"]}))


def settings_of(**values: Any) -> JWTSettings:
    return JWTSettings(**{"secret_key": SECRET, **values})


def recognized(
    token: str, settings: JWTSettings, now: Callable[[], float] = clock
) -> Principal | Reason:
    """Return the principal, or the reason of the refusal."""
    try:
        return asyncio.run(authenticate_token(token, settings, clock=now))
    except AuthError as error:
        return error.reason


class TestRemembering:
    def test_one_setting_turns_it_off(self, verified: list[str]) -> None:
        """Then each request verifies."""
        settings = settings_of(token_cache_size=0)

        for _ in range(3):
            recognized(TOKEN, settings)

        assert [TOKEN] * 3 == verified

    def test_other_settings_know_nothing_of_it(self, verified: list[str]) -> None:
        """Nor do copies that differ."""
        settings = settings_of()
        recognized(TOKEN, settings)

        other = settings.model_copy(update={"audience": "api"})

        assert Reason.CLAIM_MISSING is recognized(TOKEN, other)
        assert [TOKEN, TOKEN] == verified

    @pytest.mark.parametrize(("length", "times"), [(4096, 1), (4097, 2)], ids=["at-most", "longer"])
    def test_long_tokens_are_not_kept(self, verified: list[str], length: int, times: int) -> None:
        """A few of them would fill the memory of many."""
        token = _of_length(length)
        settings = settings_of()

        for _ in range(2):
            assert isinstance(recognized(token, settings), Principal)
        assert times == len(verified)

    def test_the_number_is_bounded(self) -> None:
        """Many valid tokens evict the oldest ones."""
        settings = settings_of(token_cache_size=8)

        for number in range(100):
            recognized(mint(claims(jti=str(number))), settings)

        assert len(settings.server.token_cache) <= 8

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(mint(claims(), OTHER_SECRET), id="forged"),
            pytest.param(mint(claims(exp=NOW - 60)), id="expired"),
            pytest.param(mint(claims(cnf={})), id="bound"),
            pytest.param(compact(b'{"alg":"none"}', b"{}", b""), id="none"),
            pytest.param("garbage", id="garbage"),
        ],
    )
    def test_what_is_refused_is_not_remembered(self, token: str) -> None:
        """Its claims are not kept."""
        settings = settings_of()

        recognized(token, settings)

        assert 0 == len(settings.server.token_cache)

    def test_a_token_that_ends_is_forgotten(self) -> None:
        """And refused for the reason that a new one would be."""
        settings = settings_of()
        recognized(TOKEN, settings)

        assert Reason.EXPIRED is recognized(TOKEN, settings, lambda: NOW + 400)
        assert 0 == len(settings.server.token_cache)

    def test_a_copy_with_one_character_changed_is_another_token(self) -> None:
        """The whole text is the name."""
        settings = settings_of()
        recognized(TOKEN, settings)
        head, _, signature = TOKEN.rpartition(".")

        assert isinstance(recognized(f"{head}.{signature[::-1]}", settings), Reason)
        assert 1 == len(settings.server.token_cache)


EDGES = [NOW + offset for offset in (-400, -11, -10, -9.5, -1, 0, 1, 289, 290, 299, 300, 309)]
EDGES += [NOW + offset for offset in (309.5, 310, 310.5, 311, 1000)]


@given(
    members=st.fixed_dictionaries(
        {},
        optional={
            "exp": st.sampled_from([NOW + 300, NOW + 300.5, 10**30]),
            "nbf": st.sampled_from([NOW, NOW + 5, NOW - 0.5]),
            "iat": st.sampled_from([NOW, NOW + 9]),
        },
    ),
    times=st.lists(st.sampled_from(EDGES), min_size=2, max_size=8),
    leeway=st.sampled_from([0, 10]),
)
def test_at_every_moment_it_is_what_a_new_one_would_be(
    members: dict[str, Any], times: list[float], leeway: int
) -> None:
    """Time may run back as well, and equality is decided alike."""
    remembering = settings_of(leeway=leeway, require_exp=False)
    forgetting = settings_of(leeway=leeway, require_exp=False, token_cache_size=0)
    token = mint({"sub": "alice", **members})

    for moment in times:
        answers = (recognized(token, one, lambda: moment) for one in (remembering, forgetting))  # noqa: B023 - used at once
        outcomes = [one if isinstance(one, Reason) else dict(one.claims) for one in answers]
        assert outcomes[0] == outcomes[1]


def test_settings_that_remember_can_be_copied_compared_and_shown() -> None:
    """And show nothing of it."""
    settings, fresh = settings_of(), settings_of()
    recognized(TOKEN, settings)

    assert settings is copy.deepcopy(settings)
    assert settings.model_dump() == fresh.model_dump()
    assert TOKEN not in repr(settings)
    assert "verified" not in repr(settings)


def test_a_principal_shows_names_alone() -> None:
    """In a log or a debugger."""
    shown = re.sub("[0-9a-f]{16}", "X", repr(recognized(TOKEN, settings_of())))

    assert shown == "<Principal with <Claims with exp, iat, profile, roles, scope, sub, X>>"


def test_threads_with_loops_of_their_own_share_one_memory() -> None:
    """Each answer is right."""
    settings = settings_of(token_cache_size=4)
    tokens = [mint(claims(sub=f"user-{number}")) for number in range(8)]
    wrong: list[object] = []

    def ask() -> None:
        async def many() -> None:
            for turn in range(400):
                number = turn % 8
                principal = await authenticate_token(tokens[number], settings, clock=clock)
                if principal.user_id != f"user-{number}":
                    wrong.append(principal)

        asyncio.run(many())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong


def _of_length(length: int) -> str:
    """A good token of exactly so many characters."""
    payload = json.dumps(claims()).encode()
    tokens = (
        mint_raw(b'{"alg":"HS256"}' + b" " * header, payload + b" " * spaces)
        for header in range(3)
        for spaces in range(length * 3 // 4 - 200, length * 3 // 4)
    )
    return next(token for token in tokens if len(token) == length)


def test_a_cached_token_shows_nothing() -> None:
    """Names of claims, no values, and not the token."""
    settings = settings_of()
    recognized(TOKEN, settings)

    said = repr(settings.server.token_cache.get(TOKEN))

    assert said.startswith("<token cache entry of <Principal with <Claims with ")
    assert TOKEN not in said


def test_what_verified_shows_nothing() -> None:
    """No values, and not the token."""
    settings = settings_of()

    said = repr(asyncio.run(verify(TOKEN, settings, clock=clock)))

    assert said.startswith("<jwt_deps.tokens.verify.Verification object at ")
