"""Metrics and span attributes through OpenTelemetry, without any value of a token.

They go through the OpenTelemetry API, which newer versions of FastAPI depend on, as does the extra
`telemetry`. Without the API every function here does nothing. In Prometheus' spelling they are

    jwt_deps_validation_seconds{issuer_hash,result}     accepted, rejected, unavailable
    jwt_deps_rejections_total{reason}                   each refused request, by `error.reason`
    jwt_deps_jwks_fetch_total{issuer_hash,result}       success, failure
    jwt_deps_jwks_fetch_last_success_timestamp{issuer_hash}
    jwt_deps_jwks_key_set_info{issuer_hash,hash}        1 for the key set that was fetched last
    jwt_deps_jwks_stale_served_total{issuer_hash}       uses of stale keys in an outage
    jwt_deps_unknown_kid_total{issuer_hash,limited}     limited: without asking the issuer again
    jwt_deps_revoked_total{issuer_hash}                 valid tokens refused as revoked
    jwt_deps_replay_rejected_total                      DPoP proofs refused as used before

An issuer is shown as the first eight bytes of its SHA-256, and only a configured one is: nothing in
a token can be read here or make a new time series.

Without an SDK a request costs one call of `start`, which returns `None`.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

logger = logging.getLogger("jwt_deps")

P = ParamSpec("P")
T = TypeVar("T")

_NEWEST_NEEDED = "explicit_bucket_boundaries_advisory"


def _is_usable() -> bool:
    """Return whether the API is installed and not too old."""
    try:
        if find_spec("opentelemetry.metrics") is None:
            return False
    except ModuleNotFoundError:  # not even the namespace package
        return False
    from opentelemetry.metrics import Meter  # noqa: PLC0415 - now it is known to be installed

    usable = _NEWEST_NEEDED in signature(Meter.create_histogram).parameters
    if not usable:  # another package may have installed it, so the application starts all the same
        logger.warning(
            "opentelemetry-api is older than 1.30: jwt-deps tells it nothing; "
            "pip install 'jwt-deps[telemetry]' brings a newer one"
        )
    return usable


_USABLE = _is_usable()

if TYPE_CHECKING or _USABLE:
    from opentelemetry.context import get_current
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import get_current_span

    _meter = get_meter("jwt_deps")
    _validations = _meter.create_histogram(
        "jwt_deps.validation",
        unit="s",
        description="Time to find out whether a token is good",
        explicit_bucket_boundaries_advisory=[
            *(0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5),
            *(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10),
        ],
    )
    _rejections = _meter.create_counter("jwt_deps.rejections", description="Requests refused")
    _fetches = _meter.create_counter("jwt_deps.jwks.fetch", description="Fetches of a key set")
    _last_success = _meter.create_gauge(
        "jwt_deps.jwks.fetch.last_success_timestamp",
        description="When the key set was last fetched, in seconds since the epoch",
    )
    _key_sets = _meter.create_gauge(
        "jwt_deps.jwks.key_set_info", description="1 for the key set fetched last, 0 for others"
    )
    _stale = _meter.create_counter(
        "jwt_deps.jwks.stale_served",
        description="Uses of old keys while the issuer is out of reach",
    )
    _unknown_kids = _meter.create_counter(
        "jwt_deps.unknown_kid", description="Tokens that name a key which is not in the key set"
    )
    _revoked = _meter.create_counter(
        "jwt_deps.revoked", description="Tokens refused because they were revoked"
    )
    _replays = _meter.create_counter(
        "jwt_deps.replay_rejected", description="DPoP proofs refused because they were used before"
    )


def _ignore(*_: Any, **__: Any) -> None:
    """Do nothing, without the API."""


def _recording(function: Callable[P, T]) -> Callable[P, T | None]:
    """Choose once: the function that records, or without the API `_ignore`."""
    return function if _USABLE else _ignore


def digest(content: bytes) -> str:
    """Return the first eight bytes of the SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()[:16]


@lru_cache(maxsize=256)
def issuer_hash(issuer: str) -> str:
    """Return the label of a configured issuer in metrics and spans."""
    return digest(issuer.encode())


@_recording
def start() -> float | None:
    """Begin to measure a validation.

    Returns:
        The time, for `validated`; `None` where no SDK records it: nothing is measured then. A
        meter provider that is set later counts from then on.
    """
    # The API has no public and cheap way to ask whether there is an SDK: its own instruments hold
    # one of the SDK as soon as there is. Those of another kind are taken for an SDK's. Spans are in
    # the current context, so an empty one has none.
    instrument = getattr(_validations, "_real_instrument", _validations)
    if instrument is None and not get_current():
        return None
    return time.perf_counter()


@_recording
def validated(issuers: Sequence[str], result: str, began: float | None) -> None:
    """Record that a token was validated.

    Args:
        issuers: those of its settings, of which the first is the label.
        result: `accepted`, `rejected` or `unavailable`.
        began: what `start` returned.
    """
    if began is None:
        return
    labels = _labels(issuers[0] if issuers else "", result)
    _validations.record(time.perf_counter() - began, labels)
    _annotate_span(labels)


@_recording
def rejected(reason: str) -> None:
    """Record that a request was refused, for a `Reason`."""
    if start() is not None:
        _rejections.add(1, {"reason": reason})
        _annotate_span({"reason": reason})


@_recording
def keys_fetched(issuer: str, before: bytes | None, now: bytes) -> None:
    """Record that an issuer's key set was fetched: its text before, and its text now."""
    hashed = issuer_hash(issuer)
    _fetches.add(1, {"issuer_hash": hashed, "result": "success"})
    _last_success.set(time.time(), {"issuer_hash": hashed})
    if before is not None and before != now:
        _key_sets.set(0, {"issuer_hash": hashed, "hash": digest(before)})
    _key_sets.set(1, {"issuer_hash": hashed, "hash": digest(now)})


@_recording
def keys_failed(issuer: str) -> None:
    """Record that an issuer's key set could not be fetched."""
    _fetches.add(1, {"issuer_hash": issuer_hash(issuer), "result": "failure"})


@_recording
def stale_served(issuer: str) -> None:
    """Record that stale keys were used, because the issuer is out of reach."""
    _stale.add(1, {"issuer_hash": issuer_hash(issuer)})


@_recording
def unknown_kid(issuer: str, *, limited: bool) -> None:
    """Record that a token names an unknown key; `limited`: and its issuer was not asked again."""
    _unknown_kids.add(1, {"issuer_hash": issuer_hash(issuer), "limited": limited})


@_recording
def revoked(issuers: Sequence[str]) -> None:
    """Record that a valid token was refused as revoked; `issuers` as for `validated`."""
    _revoked.add(1, {"issuer_hash": issuer_hash(issuers[0])} if issuers else {})


@_recording
def replay_rejected() -> None:
    """Record that a valid DPoP proof was refused because it had been used before."""
    _replays.add(1)


@lru_cache(maxsize=256)
def _labels(issuer: str, result: str) -> dict[str, str]:
    if not issuer:
        return {"result": result}
    return {"issuer_hash": issuer_hash(issuer), "result": result}


def _annotate_span(labels: Mapping[str, str]) -> None:
    span = get_current_span()
    if span.is_recording():
        span.set_attributes({f"jwt_deps.{name}": value for name, value in labels.items()})
