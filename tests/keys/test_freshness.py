"""How long are fetched keys good? What an issuer may say, and what nobody may configure."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_deps import ConfigurationError, JWTSettings
from jwt_deps.keys.lifetime import JWKSCacheSettings, Lifetime

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

    @pytest.mark.parametrize("cache_control", ["", "max-age=60", "no-store"])
    def test_what_it_says_can_be_ignored(self, cache_control: str) -> None:
        """Without `respect_cache_control` the configured time counts."""
        policy = JWKSCacheSettings(respect_cache_control=False)

        assert 600 == policy.seconds(cache_control, "30")

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

    @given(fetched_at=st.floats(0, 1e10), seconds=st.floats(60, 3600), spread=st.floats(0, 1))
    def test_the_spread_never_lengthens(
        self, fetched_at: float, seconds: float, spread: float
    ) -> None:
        """It shortens the time by 5 % at most, and the moments stay in their order."""
        life = Lifetime.beginning(fetched_at, seconds, POLICY, spread)
        plain = Lifetime.beginning(fetched_at, seconds, POLICY, 0)

        assert life.fetched_at < life.refresh_at <= life.expires_at <= life.unusable_at
        assert plain.expires_at >= life.expires_at
        assert plain.unusable_at >= life.unusable_at
        assert life.expires_at - fetched_at >= 0.95 * seconds - 1e-3


class TestRefusedAtConstruction:
    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            pytest.param({"ttl": 35}, "refresh_ahead and timeout", id="refresh-before-the-start"),
            pytest.param({"ttl": 36}, "refresh_ahead and timeout", id="or-when-life-is-shortened"),
            pytest.param(
                {"refresh_ahead": 55}, "refresh_ahead and timeout", id="refresh-before-min-ttl"
            ),
            pytest.param(
                {"ttl": 35, "respect_cache_control": False},
                "refresh_ahead and timeout",
                id="refresh-before-the-start-whatever-is-said",
            ),
            pytest.param({"timeout": 30}, "refresh_ahead and timeout", id="timeout-too-long"),
            pytest.param({"min_ttl": 3601}, "min_ttl is longer", id="min-and-max"),
            pytest.param({"connect_timeout": 6}, "connect_timeout is longer", id="connecting"),
            pytest.param({"backoff": 61}, "backoff is longer", id="backoff"),
            pytest.param({"forced_capacity": 0}, "forced_capacity", id="no-healing"),
            pytest.param({"forced_refill": 0}, "forced_refill", id="no-limit"),
            pytest.param({"ttl": "long"}, "JWT_JWKS_CACHE__TTL", id="no-number"),
            pytest.param({"tll": 600}, "JWT_JWKS_CACHE__TLL", id="misspelt"),
            *(
                pytest.param({name: -1}, f"jwks_cache.{name}", id=f"{name}-negative")
                for name, field in JWKSCacheSettings.model_fields.items()
                if field.annotation in {int, float}
            ),
        ],
    )
    def test_contradictions(self, values: dict[str, Any], sentence: str) -> None:
        """What cannot work is refused with a sentence that names what to change."""
        with pytest.raises(ConfigurationError, match=sentence):
            JWKSCacheSettings(**values)

    @pytest.mark.parametrize("value", [math.inf, math.nan], ids=["infinite", "not-a-number"])
    @pytest.mark.parametrize(
        "names",
        [
            *(
                pytest.param((name,), id=name)
                for name, field in JWKSCacheSettings.model_fields.items()
                if field.annotation is float
            ),
            pytest.param(("backoff", "max_backoff"), id="both-backoffs"),
        ],
    )
    def test_times_without_end(self, names: tuple[str, ...], value: float) -> None:
        """A time that never ends is a bound that does not hold."""
        with pytest.raises(ConfigurationError):
            JWKSCacheSettings(**dict.fromkeys(names, value))

    def test_with_the_settings_of_a_service(self) -> None:
        """It is the start of the service that fails, not its first request."""
        with pytest.raises(ConfigurationError, match="refresh_ahead and timeout"):
            JWTSettings(
                issuer="https://issuer.example",
                audience="api",
                discovery=True,
                jwks_cache={"ttl": 35},
            )

    def test_the_narrowest_that_works(self) -> None:
        """Limits that just leave room are accepted."""
        policy = JWKSCacheSettings(ttl=37, refresh_ahead=30, timeout=5)

        assert 37 == policy.seconds("", "")
