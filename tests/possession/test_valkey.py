"""Several workers accept a proof once, with a real Valkey and without it."""

import asyncio
import os
import re
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from jwt_deps import ConfigurationError, RedisReplayStore, StoreUnavailableError
from tests.minting import SECRET
from tests.providers.programs import Program, browser, unused_port
from tests.proving import ORIGIN, bound_token, proof, with_dpop
from tests.revocation.valkey import Valkey

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PATIENCE = 30  # seconds: a busy machine is no store out of reach


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Run a server."""
    server = Valkey(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_once(valkey: Valkey) -> None:
    """The first one adds it, for as long as it is said."""

    async def asked() -> list[bool]:
        first, second = (RedisReplayStore(valkey.url, timeout=_PATIENCE) for _ in range(2))
        found = [await store.add_if_absent("a.1", 600) for store in (first, second, first)]
        with valkey.client() as client:
            (key,) = client.keys()
            assert 540 < client.ttl(key) <= 600
            client.expire(key, 0)
        found += [await second.add_if_absent("a.1", 60), await first.add_if_absent("a.2", 60)]
        await first.close()
        await second.close()
        await second.close()
        return found

    assert [True, False, False, True, True] == asyncio.run(asked())


def test_a_restarted_server(valkey: Valkey) -> None:
    """A connection that it closed is opened again, and the answer is right."""

    async def asked() -> list[bool]:
        store = RedisReplayStore(valkey.url, timeout=_PATIENCE)
        found = [await store.add_if_absent("a.1", 60)]
        valkey.kill()
        valkey.start()
        found += [await store.add_if_absent("a.2", 60), await store.add_if_absent("a.2", 60)]
        await store.close()
        return found

    assert [True, True, False] == asyncio.run(asked())


@pytest.mark.parametrize("how", ["killed", "paused"])
def test_out_of_reach(valkey: Valkey, how: str) -> None:
    """It cannot tell then, and does not wait long."""

    async def asked() -> None:
        store = RedisReplayStore(valkey.url, timeout=1)
        await store.add_if_absent("a.1", 60)
        if how == "killed":
            valkey.kill()
        else:
            valkey.pause()
        try:
            with pytest.raises(StoreUnavailableError):
                await store.add_if_absent("a.2", 60)
        finally:
            await store.close()

    asyncio.run(asked())


def test_a_silent_server_is_asked_once() -> None:
    """A second attempt would double the time that a request waits."""

    async def asked() -> int:
        connections = []
        over = asyncio.Event()

        async def silent(_: object, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            await over.wait()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            store = RedisReplayStore(f"redis://127.0.0.1:{port}", timeout=0.5)
            with pytest.raises(StoreUnavailableError):
                await store.add_if_absent("a.1", 60)
            over.set()
            await store.close()
        return len(connections)

    assert 1 == asyncio.run(asked())


async def command(reader: asyncio.StreamReader) -> list[bytes]:
    """Read one command; empty at the end of a connection."""
    count = (await reader.readline())[1:]
    read = []
    for _ in range(int(count or 0)):
        size = int((await reader.readline())[1:])
        read.append((await reader.readexactly(size + 2))[:-2])
    return read


class Forgetful:
    """A server that closes each connection after a `SET`; with `answers`, only the first one."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.marks: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer as Valkey, to which all `SET` are of one key."""
        while parts := await command(reader):
            answer = b"+OK\r\n"
            if parts[0] == b"SET":
                self.marks.append(parts[2])
                answer = b"$-1\r\n"
                if not (self.answers and self.marks[1:]):
                    break
            elif parts[0] == b"GET":
                answer = b"$%d\r\n%b\r\n" % (len(self.marks[0]), self.marks[0])
            writer.write(answer)
        writer.close()


async def asked(serve: Callable[..., Awaitable[None]]) -> bool:
    """Add a proof to a store whose server answers so."""
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = RedisReplayStore(f"redis://127.0.0.1:{port}", timeout=_PATIENCE)
        try:
            return await store.add_if_absent("a.1", 60)
        finally:
            await store.close()


def test_a_proof_that_was_added_by_a_command_without_an_answer() -> None:
    """The command is sent again, and finds what it wrote itself."""
    server = Forgetful(answers=True)

    assert asyncio.run(asked(server.serve))
    assert 2 == len(server.marks)


def test_a_server_that_answers_no_command_is_asked_twice() -> None:
    """More attempts would make a request wait."""
    server = Forgetful(answers=False)

    with pytest.raises(StoreUnavailableError):
        asyncio.run(asked(server.serve))
    assert 2 == len(server.marks)


def test_a_server_whose_answer_cannot_be_read() -> None:
    """It is as one that does not answer."""

    async def garbled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await command(reader):
            writer.write(b":no number\r\n")
        writer.close()

    with pytest.raises(StoreUnavailableError):
        asyncio.run(asked(garbled))


def test_a_failover() -> None:
    """Where a server became a replica, the proof is added by a new connection, to the primary."""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while parts := await command(reader):
            is_refused = parts[0] == b"SET" and writer is connections[0]
            writer.write(b"-READONLY it is a replica\r\n" if is_refused else b"+OK\r\n")
        writer.close()

    assert asyncio.run(asked(serve))
    assert 2 == len(connections)


def test_its_address_is_not_shown() -> None:
    """It may hold a password."""
    assert "redis" == repr(RedisReplayStore("redis://:secret@127.0.0.1"))
    with pytest.raises(ConfigurationError, match="redis://"):
        RedisReplayStore("memcached://x")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says what to install."""
    monkeypatch.setattr("jwt_deps.possession.redis_replay_store.find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match="jwt-deps\\[redis\\]"):
        RedisReplayStore("redis://127.0.0.1")


@pytest.fixture
def workers(valkey: Valkey, tmp_path: Path) -> Iterator[str]:
    """Serve with two workers that share nothing but the server."""
    port = unused_port()
    command = ("-m", "uvicorn", "tests.providers.app:app", "--port", str(port), "--workers", "2")
    program = Program(
        [sys.executable, *command, "--no-use-colors"],
        ready=re.compile(r"(?s)(Application startup complete.*){2}"),
        log=tmp_path / "app.log",
        environment={
            "PATH": os.environ["PATH"],
            "JWT_SECRET_KEY": SECRET,
            "JWT_DPOP": "required",
            "JWT_PUBLIC_ORIGIN": ORIGIN,
            "JWT_DPOP_REPLAY_STORE": valkey.url,
        },
    )
    try:
        program.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()


def test_replay_race_of_two_workers(workers: str, valkey: Valkey) -> None:
    """Of twenty requests with one proof at the same moment, one gets in; with no store, none."""
    token = bound_token()

    async def race() -> list[int]:
        headers = with_dpop(token, proof(token))

        async def ask() -> int:  # a connection each, so that both workers are asked
            async with httpx2.AsyncClient(verify=_NO_AUTHORITIES, trust_env=False) as http:
                return (await http.get(f"{workers}/me", headers=headers)).status_code

        return sorted(await asyncio.gather(*(ask() for _ in range(20))))

    for _ in range(5):
        assert [200, *[401] * 19] == asyncio.run(race())
    valkey.kill()
    with browser(workers) as http:
        answer = http.get("/me", headers=with_dpop(token))
    assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
