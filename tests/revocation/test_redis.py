"""Many processes learn of a revocation, and none is lost, with a real Valkey."""

import inspect
import json
import math
import os
import re
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from jwt_deps import (
    ApiKey,
    ConfigurationError,
    JWTSettings,
    MemoryRevocations,
    RedisRevocations,
    RevocationUnavailableError,
    WhenStale,
    get_settings,
    protect,
    protected_router,
)
from jwt_deps.cli.app import main
from jwt_deps.revocation import redis as redis_revocations
from jwt_deps.revocation.entries import Entries, Kind, Revocation, minute_after
from jwt_deps.testing import VirtualClock
from tests.minting import SECRET, claims, mint
from tests.providers.programs import unused_port

from .test_steps import raising
from .valkey import STREAM, Valkey, evict, fill, until

DOCUMENTED = Path(__file__).parents[2] / "docs" / "revocation.md"
TOKEN = {"jti": "1", "iss": "https://a.example", "sub": "alice", "sid": "s", "iat": 1}
OTHER = {**TOKEN, "jti": "2"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas do a tenth of the waiting."""
    for name in ("_HEARTBEAT", "_RETURN", "_LONGEST_PAUSE"):
        monkeypatch.setattr(redis_revocations, name, getattr(redis_revocations, name) / 10)


@pytest.fixture
def replicas(server: Valkey) -> tuple[RedisRevocations, RedisRevocations]:
    """Two replicas that follow it. One that is stale forgets what the server may have lost."""
    return server.replica(max_staleness=20), server.replica(max_staleness=20)


Replicas = tuple[RedisRevocations, RedisRevocations]


@pytest.mark.parametrize(
    "what",
    [
        {"jti": "1", "issuer": "https://a.example", "expires": time.time() + 900},
        {"session": "s"},
        {"subject": "alice"},
        {"issuer": "https://a.example"},
    ],
    ids=["jti", "session", "subject", "issuer"],
)
def test_every_replica_learns_of_it(replicas: Replicas, server: Valkey, what: Any) -> None:
    """Here at once, elsewhere in a moment, and in a process that starts later from the start."""
    one, two = replicas
    assert not two.is_revoked(TOKEN)

    one.revoke(**what)

    assert one.is_revoked(TOKEN)
    until(lambda: two.is_revoked(TOKEN))
    assert server.replica().is_revoked(TOKEN)


def test_a_failover(server: Valkey) -> None:
    """What is written next is written by a new connection, which leads to the new primary."""
    revocations = RedisRevocations(f"{server.url}?client_name=this")
    with server.client() as client:

        def connections() -> set[str]:
            return {it["id"] for it in client.client_list() if it["name"] == "this"}

        revocations.revoke(jti="1")
        before = connections()
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(RevocationUnavailableError):
            revocations.revoke(jti="2")

        assert before
        until(lambda: before.isdisjoint(connections()))
    revocations.close()


def test_a_restart_of_the_server_loses_nothing(replicas: Replicas, server: Valkey) -> None:
    """It has what it had; replicas reconnect by themselves and do not read that again."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))
    epochs = one._epoch, two._epoch

    server.kill()
    until(lambda: one.health().last_error and two.health().last_error)
    server.start()

    until(lambda: not one.health().last_error and not two.health().last_error)
    fresh = RedisRevocations(server.url)
    fresh.open()
    assert fresh.is_revoked(TOKEN)
    fresh.close()
    one.revoke(jti="2")
    until(lambda: two.is_revoked(OTHER))
    assert epochs == (one._epoch, two._epoch)


def test_a_write_that_the_server_lost_before_it_was_read(server: Valkey) -> None:
    """The process that was told that it is written sends it again."""
    one, two = (server.replica(opened=False, max_staleness=20) for _ in range(2))
    one.revoke(jti="0")
    one.open()
    one.close()

    one.revoke(jti="1")
    server.kill()
    _forget_last_write(server)
    server.start()
    two.open()
    before = two.is_revoked(TOKEN)
    one.open()

    until(lambda: two.is_revoked(TOKEN))
    assert not before


def _forget_last_write(server: Valkey) -> None:
    """Cut the last record off the file that the server starts from."""
    (written,) = server.folder.glob("appendonlydir/*.incr.aof")
    content = written.read_bytes()
    written.write_bytes(content[: content.rindex(b"*6\r\n$4\r\nXADD")])


def _delete(client: redis.Redis) -> None:
    client.delete(STREAM)


def _flush(client: redis.Redis) -> None:
    client.flushall()


def _trim(client: redis.Redis) -> None:
    client.xtrim(STREAM, maxlen=1, approximate=False)


def _take_the_first(client: redis.Redis) -> None:
    records: Any = client.xrange(STREAM, count=1)
    client.xdel(STREAM, records[0][0])


def _take_one(client: redis.Redis) -> None:
    records: Any = client.xrange(STREAM)
    client.xdel(STREAM, records[2][0])


def _overwrite(client: redis.Redis) -> None:
    client.set(STREAM, "x")
    time.sleep(0.2)  # so that replicas find it; whether they do makes no difference
    client.delete(STREAM)


LOSSES = [_delete, _flush, _trim, _take_the_first, _take_one, evict, _overwrite]


def outcome(token: dict[str, Any], revocations: RedisRevocations) -> str:
    """What a request with such a token would get."""
    try:
        return "revoked" if revocations.is_revoked(token) else "accepted"
    except RevocationUnavailableError:
        return "unavailable"


@pytest.mark.parametrize("lose", LOSSES, ids=[lose.__name__.strip("_") for lose in LOSSES])
def test_what_the_server_loses_it_gets_back(
    replicas: Replicas,
    server: Valkey,
    lose: Callable[[redis.Redis], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of any loss: nothing revoked is accepted, by a process that starts meanwhile neither."""
    one, two = replicas
    for jti in "123":
        one.revoke(jti=jti)
    until(lambda: two.is_revoked({"jti": "3"}))

    with server.client() as client:
        lose(client)
    late = server.replica(opened=False)
    found: set[str] = set()

    def is_back() -> bool:
        found.update(outcome(token, one) for one in (one, two, late) for token in (TOKEN, OTHER))
        names = {entry[2] for entry in server.stored()}
        return names == set("123") and outcome(TOKEN, late) == "revoked"

    until(is_back)
    until(lambda: outcome({"jti": "4"}, late) == "accepted")
    assert found <= {"revoked", "unavailable"}
    assert "the server has lost" in caplog.text


@pytest.mark.parametrize("recent", [10_000, 1], ids=["recent", "of-yesterday"])
def test_an_older_copy(server: Valkey, monkeypatch: pytest.MonkeyPatch, recent: int) -> None:
    """As after a failover or from a backup: what came later is returned.

    A process that has read the copy stops accepting its tokens as soon as another noticed.
    """
    monkeypatch.setattr(redis_revocations, "_RECENT", recent)
    monkeypatch.setattr(redis_revocations, "_RETURN", 15)  # a busy machine needs longer than 1 s
    monkeypatch.setattr(redis_revocations, "_SETTLED", 60)
    one, late = (server.replica(opened=False, max_staleness=20) for _ in range(2))
    one.revoke(jti="0")
    with server.binary_client() as client:
        copy: Any = client.dump(STREAM)
        for jti in "123":
            one.revoke(jti=jti)
        one.open()
        one.close()
        client.restore(STREAM, 0, copy, replace=True)
    late.open()
    assert "accepted" == outcome(TOKEN, late)

    one.open()

    until(lambda: outcome(TOKEN, late) != "accepted", 15)
    found = set()

    def is_back() -> bool:
        found.add(outcome(TOKEN, late))
        return {"0", "1", "2", "3"} == {entry[2] for entry in server.stored()}

    until(is_back)
    until(lambda: outcome({"jti": "4"}, late) == "accepted")
    assert found <= {"revoked", "unavailable"}
    assert late.is_revoked(TOKEN)


@pytest.mark.parametrize("used", [False, True], ids=["never-used", "written-by-others"])
def test_a_server_whose_losses_are_unknown(server: Valkey, used: bool) -> None:  # noqa: FBT001
    """It is an outage until an operator says that all is there."""
    server.lose_everything()
    puzzled = server.replica(opened=False, when_stale="serve")
    if used:
        puzzled.revoke(jti="2")
    until(lambda: puzzled.health().last_error == "Incomplete" or puzzled._begin())  # type: ignore[func-returns-value]
    assert "unavailable" == outcome(TOKEN, puzzled)

    puzzled.initialize()

    until(lambda: outcome(TOKEN, puzzled) == "accepted")


@pytest.mark.parametrize(
    ("expected", "when_stale"), [("unavailable", "refuse"), ("accepted", "serve")]
)
def test_a_replica_that_was_out_of_reach_returns_what_it_knows(
    clock: VirtualClock,
    server: Valkey,
    expected: str,
    when_stale: str,
) -> None:
    """Others may have revoked more meanwhile: that all is there it says by `serve` alone."""
    one = server.replica(max_staleness=2, when_stale=when_stale)
    one.revoke(jti="1")
    until(lambda: not list(one._entries.unseen(one._epoch)))
    server.kill()
    until(lambda: one.health().last_error)
    clock.advance(2)
    for file in server.folder.glob("appendonlydir/*"):
        file.unlink()
    server.start()

    late = server.replica(opened=False, max_staleness=2, when_stale=when_stale)
    until(lambda: outcome(TOKEN, late) == "revoked")
    clock.advance(1.1)
    if expected == "unavailable":
        time.sleep(0.3)
    until(lambda: expected == outcome(OTHER, late) == outcome(OTHER, one))


def test_a_paused_server_makes_the_replica_stale(
    clock: VirtualClock, replicas: Replicas, server: Valkey
) -> None:
    """Within the bound it answers, after it the state is unknown, and then it recovers."""
    one, _ = replicas
    one.revoke(jti="1")
    server.pause()
    assert "accepted" == outcome(OTHER, one)

    clock.advance(20)

    assert ["unavailable", "revoked"] == [outcome(OTHER, one), outcome(TOKEN, one)]
    assert one.health().stale
    until(lambda: one.health().last_error == "TimeoutError")
    server.resume()
    until(lambda: "accepted" == outcome(OTHER, one))


@pytest.mark.parametrize(
    ("expected", "when_stale"), [("unavailable", "refuse"), ("accepted", "serve")]
)
def test_when_a_replica_is_stale(
    clock: VirtualClock,
    server: Valkey,
    expected: str,
    when_stale: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From the moment of the bound on, and not before; that it goes on it says once."""
    replica = server.replica(max_staleness=2, when_stale=when_stale)
    replica.close()
    clock.advance(1.9)
    health = replica.health()
    assert (False, False) == (health.stale, health.serving_stale)
    assert "accepted" == outcome(TOKEN, replica)
    server.kill()

    clock.advance(0.1)

    health = replica.health()
    assert (True, when_stale == "serve", 2) == (health.stale, health.serving_stale, health.age)
    assert [expected] * 2 == [outcome(TOKEN, replica) for _ in range(2)]
    said = "revocations are stale, and tokens are accepted all the same"
    assert (when_stale == "serve") == caplog.messages.count(said)


def test_what_could_not_be_sent_is_sent_later(replicas: Replicas, server: Valkey) -> None:
    """The caller hears that it failed; it holds here, and everywhere once the server is back."""
    one, two = replicas
    server.kill()

    with pytest.raises(RevocationUnavailableError):
        one.revoke(jti="1")
    assert one.is_revoked(TOKEN)

    server.start()
    until(lambda: two.is_revoked(TOKEN))


def _full(client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)


def _demoted(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", unused_port())


def _recovered(client: redis.Redis) -> None:
    client.config_set("maxmemory", 0)
    client.replicaof("NO", "ONE")


@pytest.mark.parametrize("reads", [True, False], ids=["serves", "only-revokes"])
@pytest.mark.parametrize("refuse", [_full, _demoted], ids=["full", "demoted"])
def test_a_server_that_takes_no_writes(
    clock: VirtualClock,
    replicas: Replicas,
    server: Valkey,
    reads: bool,  # noqa: FBT001
    refuse: Callable[[redis.Redis], None],
) -> None:
    """Good tokens pass meanwhile, and each process sends what failed once the server takes it."""
    one, two = replicas
    revoking = one if reads else RedisRevocations(server.url)
    with server.client() as client:
        refuse(client)
        with pytest.raises(RevocationUnavailableError):
            revoking.revoke(jti="1")
        assert revoking.health().last_error
        for _ in range(2):
            clock.advance(1.9)
            until(lambda: one.health().age == two.health().age == 0)
            assert ["accepted"] * 2 == [outcome(OTHER, one), outcome(OTHER, two)]
            until(lambda: 1 == revoking.health().unsent)
        assert revoking.is_revoked(TOKEN)

        _recovered(client)

    clock.advance(1.9)
    until(lambda: two.is_revoked(TOKEN))
    until(lambda: revoking.health().unsent == 0 and revoking.health().last_error is None)
    revoking.close()


def test_a_user_who_may_only_read_serves(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `revoke` writes. What is lost such a process cannot return, but it goes on with it.

    Both have the rights that the documentation gives them.
    """
    rules = re.findall(
        r"^ACL SETUSER (\w+) +on >\.\.\. (.+)$", DOCUMENTED.read_text(), re.MULTILINE
    )
    with server.client() as client:
        for name, rights in rules:
            client.execute_command("ACL", "SETUSER", name, "on", ">secret", *rights.split())
    writing, reading = (
        RedisRevocations(server.url.replace("//", f"//{name}:secret@"), max_staleness=2)
        for name in ("revokes", "serves")
    )
    writing._store._swept = "-"
    monkeypatch.setattr("jwt_deps.revocation.redis_stream._SETTLED", -1)
    writing.initialize()
    writing.revoke(jti="ended", expires=time.time() - 1000)
    writing.revoke(jti="1")
    reading.open()
    assert ("revoked", "accepted") == (outcome(TOKEN, reading), outcome(OTHER, reading))
    assert None is reading.health().last_error
    with pytest.raises(RevocationUnavailableError):
        reading.revoke(jti="3")
    writing.revoke(jti="2")
    until(lambda: reading.is_revoked(OTHER))
    assert {"1", "2"} == {entry[2] for entry in server.stored()}

    with server.client() as client:
        client.flushall()
        client.config_resetstat()
        began = time.monotonic()
        time.sleep(0.5)
        asked = sum(one["calls"] for one in client.info("commandstats").values())
    assert asked < 200 * (time.monotonic() - began)
    assert ("revoked", "accepted") == (outcome(TOKEN, reading), outcome({"jti": "4"}, reading))
    assert "NoPermissionError" == reading.health().last_error
    assert "unavailable" == outcome({"jti": "4"}, writing)
    until(lambda: len(server.stored()) == 2)
    writing.initialize()
    until(lambda: writing.health().last_error is None)
    writing.close()
    reading.close()


@pytest.mark.parametrize("ahead", [-600, 600], ids=["server-ahead", "server-behind"])
def test_clocks_that_differ(server: Valkey, monkeypatch: pytest.MonkeyPatch, ahead: float) -> None:
    """Nothing is lost before its end by either clock, and `until now` is the later of both."""
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead)
    one = server.replica(opened=False)
    one._store._swept = "-"
    monkeypatch.setattr("jwt_deps.revocation.redis_stream._SETTLED", -1)
    one.revoke(jti="1", expires=clock() - 500)  # with the leeway, it ended 200 s ago
    one.revoke(subject="alice")
    for _ in range(3):
        one.revoke(jti="x")
    one.open()

    latest = clock() + max(ahead, 0)
    assert one.is_revoked({"sub": "alice", "iat": latest - 60})
    assert not one.is_revoked({"sub": "alice", "iat": latest + 60})
    late = server.replica()
    assert late.is_revoked({"jti": "1"}) == (ahead < 0)


def test_how_long_the_longest_token_lives_is_a_setting(server: Valkey) -> None:
    """Entries that do not say when their tokens end are kept for so long."""
    settings = JWTSettings(
        secret_key=SECRET, revocation_url=server.url, revocation_longest_lifetime=86_400 * 90
    )
    assert isinstance(settings.revocations, RedisRevocations)
    settings.revocations.revoke(session="s")

    ((*_, end),) = server.stored()
    assert 86_400 * 90 <= end - time.time() <= 86_400 * 90 + 400


def test_a_server_out_of_reach_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each pause is twice the one before, 20 % more or less."""
    asked: list[float] = []
    replica = RedisRevocations("redis://127.0.0.1:1")

    def read(*_: object) -> None:
        asked.append(time.monotonic())
        raise ConnectionError

    monkeypatch.setattr(replica._store, "read", read)
    with pytest.raises(RevocationUnavailableError):
        replica.is_revoked(TOKEN)
    until(lambda: len(asked) > 3)
    replica.close()

    for shortest, (before, after) in zip((0.04, 0.08, 0.16), pairwise(asked), strict=False):
        assert shortest <= after - before


@pytest.mark.parametrize("when_stale", ["refuse", "serve"])
def test_nothing_is_accepted_before_the_first_load(when_stale: str) -> None:
    """Without a server the state is unknown under every policy, and the start ends in time."""
    unreachable = RedisRevocations(f"redis://127.0.0.1:{unused_port()}", when_stale=when_stale)

    with pytest.raises(RevocationUnavailableError):
        unreachable.is_revoked(TOKEN)
    until(lambda: unreachable.health().last_error == "ConnectionError")
    health = unreachable.health()
    # No thread keeps a process from ending that does not close it.
    threads = [it for it in threading.enumerate() if it.name == "jwt-deps-revocations"]
    unreachable.close()

    assert all(it.daemon for it in threads)

    assert (False, True, False, None, 0) == (
        *(health.loaded, health.stale, health.serving_stale, health.age, health.entries),
    )
    assert "<RedisRevocations with 0 entries>" == repr(unreachable)


def test_defaults() -> None:
    """Those of the settings, and the number that the documentation names."""
    parameters = inspect.signature(RedisRevocations).parameters

    for name in ("max_staleness", "when_stale", "longest_lifetime"):
        assert JWTSettings.model_fields[f"revocation_{name}"].default == parameters[name].default
    assert f"the last {redis_revocations._RECENT:,} entries" in DOCUMENTED.read_text()


def test_how_long_an_answer_may_take() -> None:
    """At most 2 s, and half of the bound: after one that was lost there is time for another."""
    several = [RedisRevocations("redis://127.0.0.1:1", max_staleness=it) for it in (2, 3, 20)]

    assert [1, 1.5, 2] == [one._timeout for one in several]


def test_a_closed_replica_has_no_connection(server: Valkey) -> None:
    """Its thread has ended, too."""
    replica = RedisRevocations(server.url)
    with server.client() as client:

        def others() -> set[str]:
            return {it["id"] for it in client.client_list()} - {str(client.client_id())}

        before = others()
        replica.open()
        assert others() - before

        replica.close()

        until(lambda: others() <= before)
    assert "jwt-deps-revocations" not in {it.name for it in threading.enumerate()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_started_again(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next request, whatever it ended with."""
    replica = server.replica(opened=False)
    with monkeypatch.context() as defect:
        defect.setattr(replica._store, "read", raising(SystemExit))
        assert "unavailable" == outcome(TOKEN, replica)
        until(lambda: replica._reader is not None and not replica._reader.is_alive())

    until(lambda: "accepted" == outcome(TOKEN, replica))


def test_a_defect_is_an_outage(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Log and health name it, and one thread tries on, however many requests come."""
    replica = server.replica(opened=False)
    with monkeypatch.context() as defect:
        defect.setattr(replica._store, "read", raising(ZeroDivisionError))
        outcome(TOKEN, replica)
        first = replica._reader
        until(lambda: replica.health().last_error == "ZeroDivisionError")
        assert "revocations cannot be read: ZeroDivisionError" in caplog.text
        assert "unavailable" == outcome(TOKEN, replica)

    until(lambda: "accepted" == outcome(TOKEN, replica))
    assert first is replica._reader


def test_a_server_that_is_too_old(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis 6 counts no records: that is an outage with a name, for each command."""
    whole: Any = redis.Redis.xinfo_stream

    def without_count(client: Any, name: str) -> dict[str, Any]:
        return {it: value for it, value in whole(client, name).items() if it != "entries-added"}

    monkeypatch.setattr(redis.Redis, "xinfo_stream", without_count)
    replica = server.replica(opened=False)

    assert "unavailable" == outcome(TOKEN, replica)
    until(lambda: replica.health().last_error == "UnsupportedServer")
    with pytest.raises(RevocationUnavailableError):
        replica.initialize()
    assert "revocations cannot be written: UnsupportedServer" in caplog.text


def test_an_application_that_was_not_opened(server: Valkey) -> None:
    """Below another one it hears of no start: it refuses until it has loaded, by `serve` too."""
    RedisRevocations(server.url).revoke(jti="1")
    router = APIRouter()
    router.add_api_route("/me", lambda: True)
    settings = JWTSettings(
        secret_key=SECRET, revocation_url=server.url, revocation_when_stale="serve"
    )
    inner, outer = FastAPI(), FastAPI()
    inner.include_router(protected_router(router, settings=settings))
    outer.mount("/in", inner)
    revoked, good = (
        {"Authorization": f"Bearer {mint(claims(now=time.time(), jti=jti))}"} for jti in "12"
    )

    with TestClient(outer) as client:
        first = client.get("/in/me", headers=revoked).status_code
        until(lambda: client.get("/in/me", headers=good).status_code == 200)
        then = client.get("/in/me", headers=revoked).status_code

    assert (503, 401) == (first, then)
    assert isinstance(settings.revocations, RedisRevocations)
    settings.revocations.close()


@pytest.mark.parametrize("when_stale", ["refuse", "serve"])
def test_attack_a_load_that_ends_while_a_token_is_looked_up(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, when_stale: str
) -> None:
    """The look-up came before the entries did: the token is not accepted for that."""
    RedisRevocations(server.url).revoke(jti="1")
    replica = server.replica(opened=False, when_stale=when_stale)
    match = Entries.match

    def matching(entries: Entries, claims: Mapping[str, Any]) -> bool:
        found = match(entries, claims)
        replica.open()
        return found

    monkeypatch.setattr(Entries, "match", matching)

    with pytest.raises(RevocationUnavailableError):
        replica.is_revoked(TOKEN)
    assert replica.is_revoked(TOKEN)


def test_a_load_that_takes_longer_than_the_bound(
    clock: VirtualClock, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added meanwhile is read too, and then the replica is as fresh as any."""
    slow, other = (server.replica(opened=False, max_staleness=20) for _ in range(2))
    read = slow._store.read
    reads: list[Any] = []

    def slowly(*arguments: Any) -> Any:
        found: Any = read(*arguments)
        if not reads:
            reads.append(found)
            clock.advance(2.1)
            other.revoke(jti="1")
            return found._replace(is_last=False)
        return found

    monkeypatch.setattr(slow._store, "read", slowly)
    slow.open()

    assert slow.is_revoked(TOKEN)
    assert not slow.is_revoked(OTHER)
    assert not slow.health().stale


STRANGE = {
    "kind": {"e": '{"e":[["what",null,"1",9999999999],["jti",null,"1",9999999999]]}'},
    "record": {"e": '{"e":[["jti",null,"1",9999999999]]}', "z": "1"},
    "fields": {"x": "y"},
    "no-json": {"e": "x"},
    "no-utf8": {"e": b"\xff"},
    "no-list": {"e": '{"e":1}'},
    "no-object": {"e": "[1]"},
    "nested": {"e": '{"e":[["jti",null,"1",' + "[" * 5000 + "]" * 5000 + "]]}"},
    "infinite": {"e": '{"e":[["jti",null,"1",Infinity]]}'},
    "huge": {"e": '{"e":[["jti",null,"1",1e999]]}'},
    "end": {"e": '{"e":[["jti",null,"1","x"]]}'},
    "name": {"e": '{"e":[["jti",null,["1"],9999999999]]}'},
    "issuer": {"e": '{"e":[["jti",1,"1",9999999999]]}'},
    "length": {"e": '{"e":[["jti",null,"1",9999999999,1]]}'},
    "no-entry": {"e": '{"e":["jti"]}'},
    "number": {"e": '{"e":[4]}'},
    "kind-of-kind": {"e": '{"e":[[["jti"],null,"1",9999999999]]}'},
    "far": {"e": '{"e":[["jti",null,"1",1e308]]}'},
}


#: What is no entry, beside others in a record.
DAMAGED = {
    "attack-half-of-a-surrogate-pair": r'["session",null,"\ud800",9999999999]',
    "half-a-pair-as-issuer": r'["session","\udfff","s",9999999999]',
    "octets-that-are-no-utf-8": b'["session",null,"\xed\xa0\x80",9999999999]',
    "infinite": '["session",null,"s",Infinity]',
    "huge": '["session",null,"s",1e999]',
    "object": '{"session":{"a":1,"a":2}}',
    "short": '["session",null,"s"]',
    "nested": '["session",null,' + "[" * 50 + "]" * 50 + ",9999999999]",
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_an_entry_that_is_damaged_costs_itself(server: Valkey, damaged: str | bytes) -> None:
    """It is skipped and counted, and the others of its record hold."""
    bad = damaged if isinstance(damaged, bytes) else damaged.encode()
    good = b'["jti",null,"%d",9999999999]'
    with server.client() as client:
        client.xadd(STREAM, {"e": b'{"e":[' + b",".join([good % 1, bad, good % 2]) + b"]}"})
    replica = server.replica()

    assert [True, True] == [replica.is_revoked(it) for it in (TOKEN, OTHER)]
    assert (2, 1) == (len(replica), replica.health().skipped)


def test_attack_what_is_no_text_is_not_written(server: Valkey) -> None:
    """What others could not read is refused by the process that is asked to revoke it."""
    revocations = server.replica(opened=False)

    names: list[dict[str, Any]] = [
        {"session": "\ud800"},
        {"jti": "1", "issuer": "\ud800"},
        {"issuer": "\ud800"},
    ]
    for name in names:
        with pytest.raises(ValueError, match="a name is a text"):
            revocations.revoke(**name)

    assert [] == server.stored()
    assert 0 == len(revocations) + revocations.health().unsent


@pytest.mark.parametrize("strange", STRANGE)
def test_records_of_another_form(replicas: Replicas, server: Valkey, strange: str) -> None:
    """Each costs itself: it is skipped and counted, and what is beside and behind it holds."""
    one, two = replicas
    understood = {"kind", "record", "far"}
    with server.client() as client:
        client.xadd(STREAM, STRANGE[strange])
    one.revoke(jti="2")
    late = server.replica()

    until(lambda: two.is_revoked(OTHER))
    for replica in (two, late):
        assert (strange in understood) == replica.is_revoked(TOKEN)
        assert replica.is_revoked(OTHER)
        assert (strange not in {"record", "far"}) == replica.health().skipped
        assert not replica.health().stale


def test_a_forked_process_follows_by_itself(replicas: Replicas, server: Valkey) -> None:
    """It refuses until it has loaded, and hears of what comes later."""
    one, _ = replicas
    one.revoke(jti="1")
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent alone
        code = 1
        try:
            was_loaded = one.health().loaded
            one.open()
            if one.is_revoked(TOKEN) and not was_loaded:
                until(lambda: one.is_revoked(OTHER))
                code = 0
        finally:
            os._exit(code)
    time.sleep(0.3)
    with server.client():
        one.revoke(jti="2")

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_a_fork_leaves_behind(replicas: Replicas) -> None:
    """Threads and connections stay with the parent; the child begins anew when it is asked."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))
    one.close()  # it would go on reading here: a child has no such thread
    two.close()

    redis_revocations._after_fork()

    assert two.health().stale
    two.open()
    assert two.is_revoked(TOKEN)


def test_what_a_parent_could_not_send_its_child_does_not_send() -> None:
    """The parent does; it holds in both."""
    replica = RedisRevocations("redis://127.0.0.1:1")
    with pytest.raises(RevocationUnavailableError):
        replica.revoke(jti="1")
    replica.close()
    before = replica.health().unsent

    redis_revocations._after_fork()

    assert (1, 0, 1) == (before, replica.health().unsent, len(replica))


class Garbled(socketserver.StreamRequestHandler):
    """A server whose answers cannot be read."""

    def handle(self) -> None:
        while self.rfile.readline():
            self.wfile.write(b":no number\r\n")


def test_a_server_whose_answers_cannot_be_read() -> None:
    """It is out of reach, and what is revoked holds in this process."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Garbled) as garbled:
        threading.Thread(target=garbled.serve_forever, daemon=True).start()
        replica = RedisRevocations(f"redis://127.0.0.1:{garbled.server_address[1]}")

        with pytest.raises(RevocationUnavailableError):
            replica.revoke(jti="1")

        assert replica.is_revoked(TOKEN)
        replica.close()
        garbled.shutdown()


def test_what_cannot_be_given_back_is_given_back_later(
    replicas: Replicas, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is flushed, and then refuses to write, gets everything once it does."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))
    one.close()
    refused: list[int] = []

    def refusing(_: object) -> None:
        refused.append(1)
        raise two._store.errors[0]

    monkeypatch.setattr(two._store, "add", refusing)
    server.lose_everything()
    until(lambda: refused)
    assert not two.health().stale
    monkeypatch.undo()
    until(lambda: len(server.stored()) == 1)


def test_ended_entries_leave_the_server(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write takes some of them away, and never the one that readers may have read last."""
    monkeypatch.setattr("jwt_deps.revocation.redis_stream._SETTLED", -1)
    revocations = server.replica(opened=False)
    revocations._store._swept = "-"
    with server.client() as client:
        client.xadd(STREAM, {"x": "y"})
    for number in range(30):
        revocations.revoke(jti=str(number), expires=time.time() - 1000)
    revocations.revoke(subject="alice")
    for number in range(30):
        revocations.revoke(jti=str(number), expires=time.time() - 1000)

    kinds = [entry[0] for entry in server.stored()]
    assert "subject" in kinds
    assert len(kinds) < 30
    assert "accepted" == outcome({"jti": "x"}, server.replica())


def test_10_000_entries(replicas: Replicas) -> None:
    """They are put back and read in seconds, although their ends are spread over a month."""
    one, two = replicas
    now = time.time()
    for number in range(10_000):
        end = minute_after(now + 900 + number * 260)  # spread over a month
        one._entries.add(Revocation(Kind.JTI, None, f"{number:032}", None, end))
    one._may_lack = True

    until(lambda: len(two) == 10_000)

    assert two.is_revoked({"jti": f"{9_999:032}"})


def test_a_bulk_of_5_000(server: Valkey) -> None:
    """As many as the server takes at once: readers keep up, and no request is refused.

    In processor time, with which other programs on the machine do not interfere.
    """
    one, two = (server.replica(max_staleness=300) for _ in range(2))
    thread = threading.Thread(target=fill, args=(server, 5_000, 30 * 86_400))
    found = set()
    began = time.process_time()
    thread.start()
    while thread.is_alive() or len(two) < 5_000 or len(one) < 5_000:
        found |= {outcome({"jti": "x"}, one), outcome({"jti": "x"}, two)}
        time.sleep(0.02)

    assert {"accepted"} == found
    assert time.process_time() - began < 3


def test_ends_that_are_spread(server: Valkey) -> None:
    """Entries that end over a month cost at most twice those that end in a minute."""
    costs = []
    for spread in (60, 30 * 86_400):
        with server.client() as client:
            client.delete(STREAM)
        server.initialize()
        fill(server, 5_000, spread)
        replica = RedisRevocations(server.url, max_staleness=300)
        began = time.process_time()
        until(lambda one=replica: one.open() or one.health().loaded)  # type: ignore[misc]
        costs.append(time.process_time() - began)
        replica.close()

    together, apart = costs
    assert apart <= 2 * together


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        pytest.param("revocation_url", {"revocation_url": "http://somewhere"}, id="url"),
        pytest.param("revocation_staleness", {"revocation_max_staleness": 1}, id="staleness"),
        pytest.param("revocation_staleness", {"revocation_max_staleness": math.inf}, id="no-bound"),
        pytest.param("invalid_setting", {"revocation_when_stale": "maybe"}, id="policy"),
    ],
)
def test_settings_that_cannot_work(reason: str, changed: dict[str, Any]) -> None:
    """They are refused when they are built, without the URL, which may hold a password."""
    values = {"secret_key": SECRET, "revocation_url": "redis://:password@localhost", **changed}

    with pytest.raises(ConfigurationError) as caught:
        JWTSettings(**values)

    assert reason == caught.value.reason
    assert "password" not in str(caught.value) + repr(JWTSettings(**{**values, **_GOOD}))


@pytest.mark.parametrize("credentials", [[], [ApiKey(lambda _: None)]], ids=["same", "copy"])
def test_two_applications_with_the_same_settings(server: Valkey, credentials: list[ApiKey]) -> None:
    """The end of one stops nothing that the other uses; the end of the last one stops it."""
    settings = JWTSettings(
        secret_key=SECRET, revocation_url=server.url, revocation_max_staleness=600
    )
    headers = {"Authorization": f"Bearer {mint(claims(now=time.time(), jti='1'))}"}
    apps = [FastAPI(), FastAPI()]
    for app in apps:

        @app.get("/")
        def root() -> None: ...

        protect(app, settings, credentials=credentials)

    with TestClient(apps[0]) as staying:
        with TestClient(apps[1]) as ending:
            assert 200 == ending.get("/", headers=headers).status_code
        RedisRevocations(server.url).revoke(jti="1")

        until(lambda: staying.get("/", headers=headers).status_code == 401, patience=20)
    assert isinstance(settings.revocations, RedisRevocations)
    assert settings.revocations._reader is None


_GOOD: dict[str, Any] = {
    "revocation_url": "redis://:password@localhost",
    "revocation_max_staleness": 10,
    "revocation_when_stale": WhenStale.SERVE,
}


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says which extra brings it."""
    monkeypatch.setattr("jwt_deps.revocation.redis_stream.find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match=r"jwt-deps\[redis\]"):
        RedisRevocations("redis://localhost")


def invoked(*arguments: str, **environment: str) -> Result:
    """What the command says."""
    return CliRunner().invoke(main, ["revoke", *arguments], env=environment)


def test_the_command(replicas: Replicas, server: Valkey) -> None:
    """`jwt-deps revoke` reaches running processes; it prints no names."""
    _, two = replicas

    done = invoked("--subject", "alice", JWT_REVOCATION_URL=server.url)

    assert (0, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith("Revoked of every issuer, as of ")
    assert "alice" not in done.stderr
    until(lambda: two.is_revoked(TOKEN))


@pytest.mark.parametrize(
    ("arguments", "variables", "revoked"),
    [
        pytest.param([], {}, {"a", "b"}, id="none-configured"),
        pytest.param([], {"JWT_ISSUER": "https://a.example"}, {"a"}, id="the-only-one"),
        pytest.param([], {"jwt_issuer": '["https://a.example"]'}, {"a"}, id="a-list-of-one"),
        pytest.param(
            ["--issuer", "https://b.example"],
            {"JWT_ISSUER": "https://a.example"},
            {"b"},
            id="another-one",
        ),
        pytest.param(
            ["--every-issuer"], {"JWT_ISSUER": "https://a.example"}, {"a", "b"}, id="every-one"
        ),
    ],
)
def test_whose_tokens(
    replicas: Replicas,
    server: Valkey,
    arguments: list[str],
    variables: dict[str, str],
    revoked: set[str],
) -> None:
    """Those of the issuer that is configured, if it is one and no other is named."""
    _, two = replicas

    done = invoked("--jti", "1", *arguments, JWT_REVOCATION_URL=server.url, **variables)

    every = "every" if len(revoked) > 1 else "one"
    assert done.stderr.startswith(f"Revoked of {every} issuer, as of ")
    until(lambda: len(two) == 1)
    assert revoked == {
        name for name in "ab" if two.is_revoked({**TOKEN, "iss": f"https://{name}.example"})
    }


def test_the_command_reads_the_settings(server: Valkey, tmp_path: Path) -> None:
    """The file with the address, and how long the longest-lived token lives."""
    (tmp_path / "url").write_text(f"{server.url}\n")

    done = invoked(
        *("--jti", "1", "--prefix", "orders"),
        JWT_REVOCATION_URL_FILE=str(tmp_path / "url"),
        JWT_REVOCATION_LONGEST_LIFETIME="7776000",
    )

    assert 0 == done.exit_code
    with server.client() as client:
        ((_, fields),) = client.xrevrange("{orders}:stream", count=1)
    ((_, _, _, until_then),) = json.loads(fields["e"])["e"]
    assert 0 <= until_then - time.time() - 90 * 24 * 60 * 60 < 400


def test_other_commands_look_revocations_up(replicas: Replicas, server: Valkey) -> None:
    """As a request does: a token is accepted, and once it is revoked it is refused."""
    one, two = replicas
    variables = {"JWT_SECRET_KEY": SECRET, "JWT_REVOCATION_URL": server.url}
    minted = CliRunner().invoke(main, ["mint", "--user", "alice"], env=variables)
    assert (0, "") == (minted.exit_code, minted.stderr)

    def inspected() -> int:
        get_settings.cache_clear()
        return CliRunner().invoke(main, ["inspect"], input=minted.stdout, env=variables).exit_code

    assert 0 == inspected()
    one.revoke(subject="alice")
    until(lambda: two.is_revoked(TOKEN))
    assert 1 == inspected()


TWO_ISSUERS = {"JWT_ISSUER": "https://a,https://b"}
#: What the command says, its arguments and variables; `{url}` is a server that cannot be reached.
NOT_DONE: dict[str, tuple[str, str, dict[str, str]]] = {
    "no-server": ("give the server", "--jti 1", {}),
    "no-url": ("redis://", "--jti 1 --url http://x", {}),
    "no-answer": ("cannot be reached", "--jti 1 --url {url}", {}),
    "no-new-server": ("cannot be reached", "--initialize --url {url}", {}),
    "nothing": ("name one of", "--url {url}", {}),
    "the-configured-issuer-alone": ("name one of", "--url {url}", {"JWT_ISSUER": "https://a"}),
    "no-lifetime": ("longest_lifetime is no", "--jti 1 --longest 0 --url {url}", {}),
    "attack-octets-that-are-no-utf-8": ("a name is a text", "--session s\udcff --url {url}", {}),
    "no-duration": ("a duration", "--longest x --url {url}", {}),
    "two-issuers": ("pass --issuer", "--jti 1 --url {url}", TWO_ISSUERS),
    "table": ("pass --issuer", "--jti 1 --url {url}", {"JWT_ISSUERS__A__ISSUER": "x"}),
    "no-list": ("cannot be read", "--jti 1 --url {url}", {"JWT_ISSUER": "[x"}),
    "contradiction": ("contradict", "--jti 1 --url {url} --every-issuer --issuer x", {}),
}


@pytest.mark.parametrize(("said", "arguments", "variables"), NOT_DONE.values(), ids=NOT_DONE)
def test_commands_that_cannot_be_done(said: str, arguments: str, variables: dict[str, str]) -> None:
    """Nothing is revoked: exit code 2, and a sentence that says what to pass."""
    url, running = f"redis://127.0.0.1:{unused_port()}", set(threading.enumerate())

    done = invoked(*arguments.format(url=url).split(), **variables)

    assert (2, "") == (done.exit_code, done.stdout)
    assert said in done.stderr
    assert set() == set(threading.enumerate()) - running


def test_the_command_that_initializes(server: Valkey) -> None:
    """Once, for a server that is new or has lost its entries."""
    server.lose_everything()

    done = invoked("--initialize", JWT_REVOCATION_URL=server.url)

    assert (0, "") == (done.exit_code, done.stdout)
    assert "accepted" == outcome(TOKEN, server.replica())


def test_the_health_of_one_source_among_several(server: Valkey) -> None:
    """Settings tell how the replica is, whatever else is asked."""
    settings = JWTSettings(
        secret_key=SECRET, revocation_url=server.url, revocation=MemoryRevocations()
    )

    health = settings.revocation_health()

    assert health is not None
    assert health.stale


def test_what_is_written(server: Valkey) -> None:
    """Names of the protocol between versions of this package: a change here needs a new prefix."""
    revocations = server.replica(opened=False, longest_lifetime=60)
    revocations.revoke(subject="alice", issuer="https://a.example")

    ((kind, issuer, name, _, before),) = server.stored()
    assert ("subject", "https://a.example", "alice") == (kind, issuer, name)
    assert abs(before - time.time()) < 5
    with server.client() as client:
        assert [{"first": "1"}, {"e"}] == [
            fields if "first" in fields else set(fields) for _, fields in client.xrange(STREAM)
        ]
        assert [STREAM] == client.keys()
