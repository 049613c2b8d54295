"""How long fetched keys are fresh: what an issuer may say, and what is refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jwt_deps import ConfigurationError
from jwt_deps.keys import JWKSCacheSettings
from jwt_deps.keys.lifetime import Lifetime

POLICY = JWKSCacheSettings()


class TestSeconds:
    @pytest.mark.parametrize(
        ("cache_control", "age", "seconds"),
        [
            pytest.param("", "", 600, id="nothing-said"),
            pytest.param("public", "", 600, id="no-time-said"),
            pytest.param("max-age=300", "", 300, id="max-age"),
            pytest.param("public, max-age=300, must-revalidate", "", 300, id="among-others"),
            pytest.param("MAX-AGE = 300", "", 300, id="case-and-space"),
            pytest.param('max-age="300"', "", 300, id="quoted"),
            pytest.param("max-age=300", "100", 200, id="age-is-spent"),
            pytest.param("max-age=300", "400", 60, id="all-of-it-spent"),
            pytest.param("max-age=300", "-5", 300, id="age-negative"),
            pytest.param("max-age=300", "soon", 300, id="age-no-number"),
            pytest.param("", "100", 600, id="age-alone-says-nothing"),
            pytest.param("max-age=86400", "", 3600, id="longest"),
            pytest.param("max-age=86400", "86000", 400, id="spent-of-the-whole"),
            pytest.param("max-age=59", "", 60, id="shortest"),
            pytest.param("max-age=0", "", 60, id="zero"),
            pytest.param("no-store", "", 60, id="no-store"),
            pytest.param("no-cache", "", 60, id="no-cache"),
            pytest.param("no-store, max-age=3600", "", 60, id="no-store-wins"),
            pytest.param("max-age=3600, NO-STORE", "", 60, id="no-store-wins-behind"),
            pytest.param("max-age=-1", "", 600, id="negative"),
            pytest.param("max-age=soon", "", 600, id="no-number"),
            pytest.param("max-age=300s", "", 600, id="no-whole-number"),
            pytest.param("s-maxage=300", "", 600, id="for-shared-caches"),
            pytest.param("x-no-store", "", 600, id="something-else"),
        ],
    )
    def test_what_the_issuer_says(self, cache_control: str, age: str, seconds: float) -> None:
        """Its time counts, less what was spent on the way, within the bounds."""
        assert seconds == POLICY.seconds(cache_control, age)

    @pytest.mark.parametrize("cache_control", ["", "max-age=60", "max-age=0", "no-store"])
    def test_a_fixed_time(self, cache_control: str) -> None:
        """Where `ttl` and `max_ttl` are one time below a minute, the issuer has no say."""
        policy = JWKSCacheSettings(ttl=20, max_ttl=20)

        assert 20 == policy.seconds(cache_control, "30")

    @given(cache_control=st.text(max_size=60), age=st.text(max_size=12))
    def test_whatever_it_says(self, cache_control: str, age: str) -> None:
        """No header makes the time leave its bounds, and none is an error."""
        assert 60 <= POLICY.seconds(cache_control, age) <= 3600

    @given(stated=st.integers(0, 10**12), spent=st.integers(0, 10**12))
    def test_whichever_number_it_says(self, stated: int, spent: int) -> None:
        """Numbers too long to be meant are no error either."""
        assert 60 <= POLICY.seconds(f"max-age={stated}", str(spent)) <= 3600


class TestLifetime:
    def test_moments(self) -> None:
        """Keys are fetched again ahead of their end, and outlive it in an outage."""
        life = Lifetime.beginning(1000, 600, POLICY, 0)

        assert Lifetime(1000, 1570, 1600, 5200) == life

    @given(fetched_at=st.floats(0, 1e10), seconds=st.floats(60, 3600), jitter=st.floats(0, 1))
    def test_the_jitter_never_lengthens(
        self, fetched_at: float, seconds: float, jitter: float
    ) -> None:
        """It shortens the time by 5 % at most, and the moments stay in their order."""
        life = Lifetime.beginning(fetched_at, seconds, POLICY, jitter)
        plain = Lifetime.beginning(fetched_at, seconds, POLICY, 0)

        assert life.fetched_at < life.refresh_at <= life.expires_at <= life.unusable_at
        assert plain.expires_at >= life.expires_at
        assert plain.unusable_at >= life.unusable_at
        assert life.expires_at - fetched_at >= 0.95 * seconds - 1e-3


class TestRefusedAtConstruction:
    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            pytest.param({"timeout": 30.5}, "timeout must be", id="timeout-and-a-minute"),
            pytest.param({"ttl": 9.5}, "timeout must be", id="timeout-and-ttl"),
            pytest.param({"max_ttl": 9.5}, "timeout must be", id="timeout-and-max-ttl"),
            pytest.param(
                {"min_ttl": 30}, r"JWT_JWKS_CACHE__MIN_TTL \(jwks_cache.min_ttl\)", id="gone"
            ),
            pytest.param({"ttl": "long"}, "JWT_JWKS_CACHE__TTL", id="no-number"),
            pytest.param({"tll": 600}, "JWT_JWKS_CACHE__TLL", id="misspelt"),
            *(
                pytest.param({name: value}, f"jwks_cache.{name}", id=f"{name}-too-small")
                for name, value in zip(
                    JWKSCacheSettings.model_fields, (0.5, 0.5, -0.5, 0, 0), strict=True
                )
            ),
        ],
    )
    def test_contradictions(self, values: dict[str, Any], sentence: str) -> None:
        """What cannot work is refused with a sentence that names what to change."""
        with pytest.raises(ConfigurationError, match=sentence):
            JWKSCacheSettings(**values)

    @pytest.mark.parametrize("value", [math.inf, math.nan], ids=["infinite", "not-a-number"])
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, field in JWKSCacheSettings.model_fields.items()
            if field.annotation is float
        ],
    )
    def test_times_without_end(self, name: str, value: float) -> None:
        """A time that never ends is a bound that does not hold."""
        with pytest.raises(ConfigurationError):
            JWKSCacheSettings(**{name: value})

    def test_they_stay_as_they_were_checked(self) -> None:
        """A value that is set later is refused."""
        with pytest.raises(ValidationError, match="frozen"):
            setattr(POLICY, "ttl", 1)  # noqa: B010 - the type checkers refuse it as well

    def test_the_narrowest_that_works(self) -> None:
        """A timeout of half the lifetime is accepted, and the refresh begins after it."""
        policy = JWKSCacheSettings(ttl=1, max_ttl=1, timeout=0.5, stale_if_error=0, max_bytes=1)
        life = Lifetime.beginning(0, policy.seconds("", ""), policy, 0)

        assert (0.5, 1, 1) == (life.refresh_at, life.expires_at, life.unusable_at)
