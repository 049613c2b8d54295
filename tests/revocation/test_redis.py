"""Many processes learn of a revocation, and none is lost, with a real Valkey."""

import json
import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from jwt_deps import (
    ConfigurationError,
    JWTSettings,
    MemoryRevocations,
    RedisRevocations,
    RevocationUnavailableError,
    WhenStale,
    protected_router,
)
from jwt_deps.cli.app import main
from jwt_deps.revocation import redis as redis_revocations
from jwt_deps.revocation.entries import Kind, Revocation, end_of_entry
from tests.minting import SECRET, claims, mint
from tests.providers.programs import unused_port

from .valkey import Valkey, until, valkey

TOKEN = {"jti": "1", "iss": "https://a.example", "sub": "alice", "sid": "s", "iat": 1}
OTHER = {**TOKEN, "jti": "2"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own."""
    with valkey(tmp_path) as started:
        yield started


@pytest.fixture
def replicas(server: Valkey) -> Iterator[tuple[RedisRevocations, RedisRevocations]]:
    """Two replicas that follow it."""
    one, two = (RedisRevocations(server.url, max_staleness=2) for _ in range(2))
    one.open()
    two.open()
    yield one, two
    one.close()
    two.close()


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
    late = RedisRevocations(server.url)
    late.open()
    assert late.is_revoked(TOKEN)
    late.close()


def test_a_restart_of_the_server_loses_nothing(replicas: Replicas, server: Valkey) -> None:
    """Killed and started again, it has what it had; replicas reconnect by themselves."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))

    server.kill()
    server.start()

    until(lambda: not two.health().stale and two.health().last_error is None)
    fresh = RedisRevocations(server.url)
    fresh.open()
    assert fresh.is_revoked(TOKEN)
    fresh.close()
    one.revoke(jti="2")
    until(lambda: two.is_revoked(OTHER))


def test_a_restart_of_the_server_costs_no_load(
    replicas: Replicas, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a replica has read it does not read again, and what it revoked itself it sends again."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))
    read: list[RedisRevocations] = []

    def reading(replica: RedisRevocations) -> Iterator[Any]:
        read.append(replica)
        yield from ()

    for replica in replicas:
        monkeypatch.setattr(replica._store, "entries", partial(reading, replica))

    server.kill()
    until(lambda: one.health().last_error and two.health().last_error)
    server.start()
    until(lambda: not one.health().last_error and not two.health().last_error)
    one.revoke(jti="2")

    until(lambda: two.is_revoked(OTHER))
    assert [] == read


def test_a_write_that_the_server_lost_before_it_was_read(server: Valkey) -> None:
    """The process that was told that it is written sends it again."""
    one, two = (RedisRevocations(server.url, max_staleness=2) for _ in range(2))
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
    one.close()
    two.close()


def _forget_last_write(server: Valkey) -> None:
    """Cut the last call of the script off the file that the server starts from."""
    (written,) = server.folder.glob("appendonlydir/*.incr.aof")
    content = written.read_bytes()
    written.write_bytes(content[: content.rindex(b"*1\r\n$5\r\nMULTI")])


def test_a_flushed_server_gets_everything_back(replicas: Replicas, server: Valkey) -> None:
    """Nothing revoked becomes valid again while a replica knows it."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))

    with server.client() as client:
        client.flushall()
        until(lambda: client.zcard("{jwt-deps:revocations}:entries") == 1)

    assert two.is_revoked(TOKEN)
    fresh = RedisRevocations(server.url)
    fresh.open()
    assert fresh.is_revoked(TOKEN)
    fresh.close()


def test_a_server_that_forgot_its_last_writes_gets_them_back(
    replicas: Replicas, server: Valkey
) -> None:
    """A step back in the count, as after a failover to a copy that was behind."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))

    with server.client() as client:
        client.delete("{jwt-deps:revocations}:entries", "{jwt-deps:revocations}:stream")
        client.set("{jwt-deps:revocations}:count", 0)
        until(lambda: client.zcard("{jwt-deps:revocations}:entries") == 1)


def test_entries_that_the_stream_lost_are_read_anew(replicas: Replicas, server: Valkey) -> None:
    """A reader that was too slow for a stream that is cut finds the gap."""
    one, two = replicas
    one.revoke(jti="1")
    until(lambda: two.is_revoked(TOKEN))
    with server.client() as client:
        pipe = client.pipeline()
        pipe.zadd("{jwt-deps:revocations}:entries", {'["jti", null, "2"]': 1 << 33})
        pipe.incr("{jwt-deps:revocations}:count")
        pipe.execute()
        until(lambda: two.is_revoked(OTHER))

        pipe.zadd("{jwt-deps:revocations}:entries", {'["jti", null, "3"]': 1 << 33})
        pipe.incr("{jwt-deps:revocations}:count")
        pipe.execute()
        one.revoke(jti="4")
        until(lambda: two.is_revoked({"jti": "3"}) and two.is_revoked({"jti": "4"}))


def test_a_paused_server_makes_the_replica_stale(replicas: Replicas, server: Valkey) -> None:
    """Within the bound it answers, after it the state is unknown, and then it recovers."""
    one, _ = replicas
    one.revoke(jti="1")
    server.pause()
    assert not one.is_revoked(OTHER)

    def refuses() -> bool:
        try:
            one.is_revoked(OTHER)
        except RevocationUnavailableError:
            return True
        return False

    until(refuses)
    assert one.is_revoked(TOKEN)
    assert one.health().stale
    until(lambda: one.health().last_error == "TimeoutError")
    server.resume()
    until(lambda: not refuses())


def test_a_stale_replica_may_go_on(server: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """By `serve`: it says so once, in health and in the log."""
    going_on = RedisRevocations(server.url, max_staleness=2, when_stale="serve")
    going_on.open()
    server.kill()
    until(lambda: going_on.health().stale)

    with caplog.at_level(logging.ERROR):
        assert not going_on.is_revoked(TOKEN)
        assert not going_on.is_revoked(TOKEN)

    assert going_on.health().serving_stale
    assert ["revocations are stale, and tokens are accepted all the same"] == [
        record.message for record in caplog.records if record.levelno == logging.ERROR
    ]
    going_on.close()


def test_what_could_not_be_sent_is_sent_later(replicas: Replicas, server: Valkey) -> None:
    """The caller hears that it failed; it holds here, and everywhere once the server is back."""
    one, two = replicas
    server.kill()

    with pytest.raises(RevocationUnavailableError):
        one.revoke(jti="1")
    assert one.is_revoked(TOKEN)

    server.start()
    until(lambda: two.is_revoked(TOKEN))


@pytest.mark.parametrize("when_stale", ["refuse", "serve"])
def test_nothing_is_accepted_before_the_first_load(when_stale: str) -> None:
    """Without a server the state is unknown under every policy, and the start ends in time."""
    nobody = RedisRevocations(f"redis://127.0.0.1:{unused_port()}", when_stale=when_stale)

    with pytest.raises(RevocationUnavailableError):
        nobody.is_revoked(TOKEN)
    until(lambda: nobody.health().last_error == "ConnectionError")
    health = nobody.health()
    nobody.close()

    assert (False, True, False, None, 0) == (
        *(health.loaded, health.stale, health.serving_stale, health.age, health.entries),
    )
    assert "<RedisRevocations with 0 entries>" == repr(nobody)


def test_an_application_that_was_not_opened(server: Valkey) -> None:
    """Below another one it hears of no start: it refuses until it has loaded, by `serve` too."""
    with server.client() as client:
        client.zadd("{jwt-deps:revocations}:entries", {'["jti", null, "1"]': 1 << 33})
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


def test_a_load_that_takes_longer_than_the_bound(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added meanwhile is read too, and then the replica is as fresh as any."""
    slow, other = (RedisRevocations(server.url, max_staleness=2) for _ in range(2))
    read = slow._store.entries

    def slowly() -> Any:
        yield from read()
        time.sleep(2.1)
        other.revoke(jti="1")

    monkeypatch.setattr(slow._store, "entries", slowly)
    slow.open()

    assert slow.is_revoked(TOKEN)
    assert not slow.is_revoked(OTHER)
    assert not slow.health().stale
    slow.close()
    other.close()


def test_data_of_another_program(server: Valkey) -> None:
    """The state is unknown then."""
    with server.client() as client:
        client.zadd("{jwt-deps:revocations}:entries", {'["what", null, "1"]': 1 << 33})
    puzzled = RedisRevocations(server.url)

    with pytest.raises(RevocationUnavailableError):
        puzzled.is_revoked(TOKEN)

    until(lambda: puzzled.health().last_error == "ValueError")
    puzzled.close()


def test_a_forked_process_follows_by_itself(replicas: Replicas, server: Valkey) -> None:
    """It refuses until it has loaded, and hears of what comes later."""
    one, _ = replicas
    one.revoke(jti="1")
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent alone
        code = 1
        try:
            one.open()
            if one.is_revoked(TOKEN):
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
    with server.client() as client:
        client.flushall()
        until(lambda: refused)
        monkeypatch.undo()
        until(lambda: client.zcard("{jwt-deps:revocations}:entries") == 1)


def test_ended_entries_leave_the_server(server: Valkey) -> None:
    """Every write takes some of them away."""
    revocations = RedisRevocations(server.url)
    revocations.revoke(jti="1", expires=time.time() - 1000)
    revocations.revoke(jti="2")

    with server.client() as client:
        assert ['["jti", null, "2"]'] == client.zrange("{jwt-deps:revocations}:entries", 0, -1)
    revocations.close()


def test_100_000_entries(replicas: Replicas) -> None:
    """They are put back and read in seconds, and one look-up stays one."""
    one, two = replicas
    entries = one._entries
    now = time.time()
    for number in range(100_000):
        entry = Revocation(Kind.JTI, None, f"{number:032}", None, end_of_entry(now + 900))
        entries.add(entry, now)
    one._unsent = True

    seconds = until(lambda: len(two) == 100_000, 60)

    assert two.is_revoked({"jti": f"{99_999:032}"})
    assert seconds < 60


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        pytest.param("revocation_url", {"revocation_url": "http://somewhere"}, id="url"),
        pytest.param("revocation_staleness", {"revocation_max_staleness": 1}, id="staleness"),
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


@pytest.mark.parametrize(
    ("said", "arguments", "variables"),
    [
        pytest.param("pass --issuer", [], {"JWT_ISSUER": "https://a,https://b"}, id="two"),
        pytest.param("pass --issuer", [], {"JWT_ISSUERS__A__ISSUER": "x"}, id="table"),
        pytest.param("cannot be read", [], {"JWT_ISSUER": "[x"}, id="no-list"),
        pytest.param("contradict", ["--every-issuer", "--issuer", "x"], {}, id="both"),
    ],
)
def test_when_it_is_not_clear_whose(
    said: str, arguments: list[str], variables: dict[str, str]
) -> None:
    """Nothing is revoked, and a sentence says what to pass."""
    nobody = f"redis://127.0.0.1:{unused_port()}"

    done = invoked("--jti", "1", "--url", nobody, *arguments, **variables)

    assert (2, "") == (done.exit_code, done.stdout)
    assert said in done.stderr


def test_the_configured_issuer_alone_is_not_meant() -> None:
    """Who names nothing does not revoke all that the issuer of the environment has issued."""
    done = invoked("--url", f"redis://127.0.0.1:{unused_port()}", JWT_ISSUER="https://a.example")

    assert 2 == done.exit_code
    assert "name one of" in done.stderr


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        pytest.param("give the server", ["--jti", "1"], id="no-server"),
        pytest.param("redis://", ["--jti", "1", "--url", "http://x"], id="no-url"),
        pytest.param("cannot be reached", ["--jti", "1", "--url", "{nobody}"], id="no-answer"),
        pytest.param("name one of", ["--url", "{nobody}"], id="nothing"),
        pytest.param("a duration", ["--longest", "x", "--url", "{nobody}"], id="no-duration"),
    ],
)
def test_commands_that_cannot_be_done(said: str, arguments: list[str]) -> None:
    """Exit code 2, and a sentence."""
    nobody = f"redis://127.0.0.1:{unused_port()}"

    done = invoked(*(argument.format(nobody=nobody) for argument in arguments))

    assert (2, "") == (done.exit_code, done.stdout)
    assert said in done.stderr


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
    revocations = RedisRevocations(server.url, longest_lifetime=60)
    revocations.revoke(subject="alice", issuer="https://a.example")

    with server.client() as client:
        ((_, fields),) = client.xrange("{jwt-deps:revocations}:stream")
    kind, issuer, name, before = json.loads(fields["e"])
    assert ("subject", "https://a.example", "alice") == (kind, issuer, name)
    assert abs(before - time.time()) < 5
    assert {"n", "g", "e", "u"} == set(fields)
    revocations.close()
