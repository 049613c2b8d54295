"""The settings of a route as far as they are known without a request, for schema and audit."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from inspect import (
    isasyncgenfunction,
    iscoroutine,
    iscoroutinefunction,
    isgeneratorfunction,
    signature,
    unwrap,
)
from typing import Any

from fastapi import FastAPI

from jwt_deps.errors import ConfigurationError
from jwt_deps.possession import RedisReplayStore
from jwt_deps.revocation import AnyRevocation, MemoryRevocations, RevocationSource
from jwt_deps.settings import JWTSettings, get_settings

from .routing import RouteGuard


def known_settings(app: FastAPI, guard: RouteGuard | None) -> JWTSettings | None:
    """The settings under a guard; `None` if it takes a request to know them."""
    if guard is not None and guard.settings is not None:
        return guard.settings
    override = app.dependency_overrides.get(get_settings)
    if override is not None:
        found = _answer_of(override)
        return found if isinstance(found, JWTSettings) else None
    try:
        return get_settings()
    except ConfigurationError:
        # A schema can be printed where there are no secrets, in a build of the docs for one.
        # Every request still raises this error.
        return None


def settings_problem(app: FastAPI) -> str | None:
    """What is wrong with the settings in place of `get_settings`, as a sentence, or `None`.

    It says nothing of an application that does not override `get_settings`.
    """
    override = app.dependency_overrides.get(get_settings)
    if override is None:
        return None
    found = _answer_of(override)
    if isinstance(found, str):
        return f"There are no usable settings: what replaces get_settings {found}."
    if found.server.key_caches and _answer_of(override) is not found:
        return (
            "What replaces get_settings makes new settings for each request, so that each request "
            "fetches the issuer's keys: make them once."
        )
    return None


def can_be_out_of_reach(settings: JWTSettings | None) -> bool:
    """Whether a check needs what may not answer: keys, revocations, replays, introspection."""
    if settings is None:
        return False
    policy = settings.server.sender_policy
    replays = policy is not None and policy.with_dpop  # a store in memory can be full
    tenants = settings.server.accepted.tenants is not None
    return (
        tenants
        or bool(settings.server.key_caches)
        or replays
        or any(getattr(it, "can_be_out_of_reach", False) for it in settings.server.credentials)
        or _may_not_answer(settings.revocations)
    )


def counts_proofs(settings: JWTSettings | None) -> bool:
    """Whether one key can make too many DPoP proofs: Valkey and Redis have room for any number."""
    policy = settings.server.sender_policy if settings is not None else None
    return (
        policy is not None and policy.with_dpop and not isinstance(policy.store, RedisReplayStore)
    )


def _may_not_answer(source: RevocationSource | None) -> bool:
    if isinstance(source, AnyRevocation):
        return any(map(_may_not_answer, source.sources))
    return not (source is None or type(source) is MemoryRevocations)


def _answer_of(override: Callable[..., Any]) -> JWTSettings | str:
    """What an override answers without a request, or else the reason why it does not."""
    try:
        is_class = isinstance(override, type) and issubclass(override, JWTSettings)
        if not is_class and signature(override).parameters:
            return "needs a request"
        # There is no event loop to run these in, or one that is running already.
        if _is(override, iscoroutinefunction) or _is(override, isasyncgenfunction):
            return "is asynchronous, and runs only for a request"
        if _is(override, isgeneratorfunction):
            with contextmanager(override)() as yielded:
                found = yielded
        else:
            found = override()
    except Exception as error:  # noqa: BLE001
        # It is the application's own code, mostly a test's, and can raise anything. A schema and
        # an audit say what they can without it; each request raises the same error again. Only its
        # class is named, because the message of an error about settings may quote a secret.
        return f"raises {type(error).__name__}"
    if isinstance(found, JWTSettings):
        return found
    if iscoroutine(found):  # of a plain function that calls an asynchronous one
        found.close()
    return "gives no JWTSettings"


def _is(call: Any, kind: Callable[[Any], bool]) -> bool:
    """Whether a callable is of a kind of function, as FastAPI decides how to call it."""
    while isinstance(call, partial):
        call = call.func
    called = (call, unwrap(call))
    # A class is called too, but not by its `__call__`, which is that of its instances.
    return any(kind(one) or kind(type(one).__call__) for one in called)
