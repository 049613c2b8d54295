"""What does whoever operates this see? Spans and metrics of OpenTelemetry, and no claim's value.

The instruments are those of the OpenTelemetry API, which newer versions of FastAPI bring, and the
extra `telemetry`; without it nothing is told. In Prometheus' spelling they are

    jwt_deps_validation_seconds{issuer_hash,result}     accepted, rejected, unavailable
    jwt_deps_rejections_total{reason}                   each refused request, by `error.reason`
    jwt_deps_jwks_fetch_total{issuer_hash,result}       success, failure
    jwt_deps_jwks_fetch_last_success_timestamp{issuer_hash}
    jwt_deps_jwks_key_set_info{issuer_hash,hash}        1 for the key set that was fetched last
    jwt_deps_jwks_stale_served_total{issuer_hash}       old keys handed out in an outage
    jwt_deps_unknown_kid_total{issuer_hash,limited}     limited: without asking the issuer again
    jwt_deps_revoked_total{issuer_hash}                 good tokens refused as revoked
    jwt_deps_replay_rejected_total                      DPoP proofs refused as used before

An issuer is shown as the first eight bytes of its SHA-256, and only one that is configured: what
tokens say can neither be read here nor make new time series.

A request pays for one look at whether anybody listens: `start` gives `None` if not.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from inspect import signature
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

__all__ = [
    "digest",
    "issuer_hash",
    "keys_failed",
    "keys_fetched",
    "rejected",
    "replay_rejected",
    "revoked",
    "stale_served",
    "start",
    "unknown_kid",
    "validated",
]

logger = logging.getLogger("jwt_deps")

_NEWEST_NEEDED = "explicit_bucket_boundaries_advisory"


class _Silent:
    """Stands for the API where it is not installed: no span is current, no instrument counts."""

    _real_instrument = None

    def __init__(self, *_: object, **__: object) -> None: ...

    def __bool__(self) -> bool:
        return False

    is_recording = __bool__

    def add(self, *_: object) -> None: ...

    def create(self, *_: object, **__: object) -> "_Silent":
        return self

    record = set = add
    create_counter = create_gauge = create_histogram = create


def _usable() -> bool:
    """Whether the API is installed, and not too old."""
    try:
        if find_spec("opentelemetry.metrics") is None:
            return False
    except ModuleNotFoundError:  # there is not even the namespace
        return False
    from opentelemetry.metrics import Meter  # noqa: PLC0415 - only now it is known to be there

    usable = _NEWEST_NEEDED in signature(Meter.create_histogram).parameters
    if not usable:  # another package may have asked for it, so that is no reason not to start
        logger.warning(
            "opentelemetry-api is older than 1.30: jwt-deps tells it nothing; "
            "pip install 'jwt-deps[telemetry]' brings a newer one"
        )
    return usable


if TYPE_CHECKING or _usable():
    from opentelemetry.context import get_current
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import get_current_span
else:
    get_current = get_meter = get_current_span = _Silent

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
    "jwt_deps.jwks.stale_served", description="Uses of old keys while the issuer is out of reach"
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

# The API has no public and cheap way to ask whether an SDK is there: its own instruments hold one
# of the SDK as soon as it is. Those of another kind are taken to have listeners.
_probe: Any = (
    _validations
    if hasattr(_validations, "_real_instrument")
    else SimpleNamespace(_real_instrument=_validations)
)


def digest(content: bytes) -> str:
    """The first eight bytes of the SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()[:16]


@lru_cache(maxsize=256)
def issuer_hash(issuer: str) -> str:
    """What stands for an issuer of the configuration, in metrics and spans."""
    return digest(issuer.encode())


def start() -> float | None:
    """Begin to measure a validation; `None` when nobody listens, and nothing needs to be told.

    A meter provider that is set later is seen from then on. Spans live in the current context:
    where that is empty there is none.
    """
    if _probe._real_instrument is None and not get_current():  # noqa: SLF001
        return None
    return time.perf_counter()


def validated(issuers: str | Sequence[str] | None, result: str, began: float | None) -> None:
    """A token was found to be good, or not.

    Args:
        issuers: those of the settings that it was judged by; the first one stands for them.
        result: `accepted`, `rejected` or `unavailable`.
        began: what `start` gave.
    """
    if began is None:
        return
    issuer = issuers if isinstance(issuers, str) else issuers[0] if issuers else ""
    labels = _labels(issuer, result)
    _validations.record(time.perf_counter() - began, labels)
    _tell_span(labels)


def rejected(reason: str) -> None:
    """A request was refused, for a `Reason`."""
    if start() is not None:
        _rejections.add(1, {"reason": reason})
        _tell_span({"reason": reason})


def keys_fetched(issuer: str, before: bytes | None, now: bytes) -> None:
    """An issuer's key set was fetched: the text that it had before, and the one that it has."""
    hashed = issuer_hash(issuer)
    _fetches.add(1, {"issuer_hash": hashed, "result": "success"})
    _last_success.set(time.time(), {"issuer_hash": hashed})
    if before is not None and before != now:
        _key_sets.set(0, {"issuer_hash": hashed, "hash": digest(before)})
    _key_sets.set(1, {"issuer_hash": hashed, "hash": digest(now)})


def keys_failed(issuer: str) -> None:
    """An issuer's key set could not be fetched."""
    _fetches.add(1, {"issuer_hash": issuer_hash(issuer), "result": "failure"})


def stale_served(issuer: str) -> None:
    """Keys were handed out after their time, because the issuer is out of reach."""
    _stale.add(1, {"issuer_hash": issuer_hash(issuer)})


def unknown_kid(issuer: str, *, limited: bool) -> None:
    """A token names a key that is not there; `limited`: and its issuer was not asked again."""
    _unknown_kids.add(1, {"issuer_hash": issuer_hash(issuer), "limited": limited})


def revoked(issuers: str | Sequence[str] | None) -> None:
    """A token was refused that is good and was revoked; `issuers` as for `validated`."""
    issuer = issuers if isinstance(issuers, str) else issuers[0] if issuers else ""
    _revoked.add(1, {"issuer_hash": issuer_hash(issuer)} if issuer else {})


def replay_rejected() -> None:
    """A DPoP proof was refused that holds and was used before."""
    _replays.add(1)


@lru_cache(maxsize=256)
def _labels(issuer: str, result: str) -> dict[str, str]:
    if not issuer:
        return {"result": result}
    return {"issuer_hash": issuer_hash(issuer), "result": result}


def _tell_span(labels: Mapping[str, str]) -> None:
    span = get_current_span()
    if span.is_recording():
        span.set_attributes({f"jwt_deps.{name}": value for name, value in labels.items()})
