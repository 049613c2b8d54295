"""What is read from the stream, written to it and removed, with a real Valkey."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jwt_deps.revocation import redis_stream
from jwt_deps.revocation.entries import Kind, Revocation
from jwt_deps.revocation.redis_stream import START, RevocationStore, Update, time_of

from .valkey import STREAM, Valkey

PAST = 6000  # when an entry ended
FUTURE = 60 * (1 << 28)


@pytest.fixture
def store(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[RevocationStore]:
    """The store of a process, which reads and removes three records at once."""
    monkeypatch.setattr(redis_stream, "_PAGE", 3)
    monkeypatch.setattr(redis_stream, "_SWEPT", 3)
    made = RevocationStore(server.url, "jwt-deps:revocations", 5)
    yield made
    made.close()


def entry(name: str, until: int = PAST) -> Revocation:
    """An entry for one token."""
    return Revocation(Kind.JTI, None, name, None, until)


def read(store: RevocationStore, last: bytes = START) -> Update:
    """What is read after a record."""
    update = store.read(last, 0)
    assert update is not None
    return update


def names(server: Valkey) -> str:
    """Those of the entries on the server."""
    return "".join(one[2] for one in server.stored())


def records(server: Valkey) -> list[str]:
    """What each record has."""
    with server.client() as client:
        found: Any = client.xrange(STREAM)
    return [next(iter(fields)) for _, fields in found]


def test_pages(store: RevocationStore) -> None:
    """Each record is read once, and a full page is not the last."""
    for name in "abcde":
        store.add([entry(name, 9000)])

    updates = [read(store)]
    while not updates[-1].is_last:
        updates.append(read(store, updates[-1].last))

    assert [3, 3, 0] == [len(it.entries) + (it is updates[0]) for it in updates]
    assert list("abcde") == [one.name for it in updates for _, one in it.entries]
    assert {0} == {it.missing + it.skipped + it.is_older for it in updates}


def test_a_record_that_is_gone(store: RevocationStore, server: Valkey) -> None:
    """Nothing can be read after it; what is there of those around it is told."""
    for name in "ab":
        store.add([entry(name)])
    update = read(store)
    ids = [record for record, _ in update.entries]
    with server.client() as client:
        client.xdel(STREAM, ids[1].decode())

    assert None is store.read(update.last, 0)
    assert {ids[0]} == store.held(*ids)


def test_pages_between_two_records(store: RevocationStore) -> None:
    """After the first and with the last."""
    for name in "abcdef":
        store.add([entry(name)])
    ids = [record for record, _ in [*read(store).entries, *read(store, read(store).last).entries]]

    entries, after = store.page(ids[0], ids[4])
    assert (["b", "c", "d"], ids[3]) == ([one.name for one in entries], after)
    entries, after = store.page(ids[3], ids[4])
    assert (["e"], None) == ([one.name for one in entries], after)


def test_a_stream_that_is_not_there(store: RevocationStore, server: Valkey) -> None:
    """What it had is missing, until an operator says that nothing is."""
    server.lose_everything()
    assert Update([], 0, START, is_last=True, missing=1, is_older=False) == read(store)

    store.add([entry("a")])
    assert ["first", "e"] == records(server)
    assert (1, False) == (read(store).missing, read(store).is_older)

    store.declare_whole()
    assert 0 == read(store).missing
    assert ["first", "e"] == records(server)


def test_a_new_stream(store: RevocationStore, server: Valkey) -> None:
    """Nothing is missing of it."""
    server.lose_everything()

    store.declare_whole()

    assert ["first"] == records(server)
    assert Update([], 0, b"0-1", is_last=True, missing=0, is_older=False) == read(store)


def test_what_is_missing_is_counted(store: RevocationStore, server: Valkey) -> None:
    """It is all there again only if no more was lost than was returned."""
    with server.client() as client:
        for _ in range(3):
            client.xdel(STREAM, str(client.xadd(STREAM, {"x": "y"})))
    assert 3 == store.declare_missing() == store.declare_missing()

    for found, missing in ((2, 3), (3, 0)):
        store.declare_whole(found)
        assert missing == read(store).missing
    assert not read(store).is_older
    assert 1 == store.declare_missing()
    assert ["first", "lost"] == records(server)
    assert read(store).is_older


def test_another_type_of_key(store: RevocationStore, server: Valkey) -> None:
    """That is an error, and no stream that is not there."""
    with server.client() as client:
        client.set(STREAM, "x")

    with pytest.raises(redis.ResponseError):
        read(store)


def test_a_user_who_may_not_ask(server: Valkey) -> None:
    """That is an error, too."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "a", "on", ">b", "~*", "+@all", "-xinfo")
    other = RevocationStore(server.url.replace("//", "//a:b@"), "jwt-deps:revocations", 5)

    with pytest.raises(redis.exceptions.NoPermissionError):
        read(other)
    other.close()


def test_what_is_missing_changes_at_once(store: RevocationStore, server: Valkey) -> None:
    """In one transaction: a record that is added meanwhile counts."""
    with server.client() as client:
        client.config_resetstat()
        store.declare_missing()
        assert 1 == client.info("commandstats")["cmdstat_exec"]["calls"]


def test_the_time_of_the_server(store: RevocationStore) -> None:
    """In seconds."""
    assert abs(time.time() - store.time()) < 60


def test_a_read_waits_for_the_first_record(store: RevocationStore) -> None:
    """As long as it may: a reader with nothing to read is no burden."""
    update = read(store)
    began = time.monotonic()

    store.read(update.last, 0.3)

    assert time.monotonic() - began >= 0.29


def swept(store: RevocationStore, now: float) -> None:
    """Have all records looked through."""
    for _ in range(6):
        store.sweep(now)


def test_records_that_are_removed(
    store: RevocationStore, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of which every entry has ended, and never the last one; none is missing then."""
    monkeypatch.setattr(redis_stream, "_SETTLED", -1)
    for name in "abc":
        store.add([entry(name)])
    store.add([entry("d"), entry("e", FUTURE)])
    store.add([entry("f"), entry("g")])
    with server.client() as client:
        client.xadd(STREAM, {"x": "y"})
        client.xadd(STREAM, {"e": '{"e":[["jti",null,"h",6000],["new",null,"h",6000]]}'})
    store.add([entry("i", FUTURE)])
    store.add([entry("j")])
    store.add([entry("k")])

    swept(store, store.time())

    assert "dehhik" == names(server)
    assert ["first", "e", "x", "e", "e", "e"] == records(server)
    assert 0 == read(store).missing


def test_where_it_goes_on(
    store: RevocationStore, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind what it has looked through, and at the end from the beginning."""
    monkeypatch.setattr(redis_stream, "_SETTLED", -1)
    for name in "abcd":
        store.add([entry(name, FUTURE if name < "c" else PAST)])
    now, found = store.time(), []
    for _ in range(2):
        store.sweep(now)
        found.append(names(server))
    store.add([entry("e", FUTURE)])
    store.sweep(now)
    for _ in range(3):
        store.sweep(now)
        found.append(names(server))

    assert ["abcd", "abd", "abe", "abe", "abe"] == found


@pytest.mark.parametrize(
    ("left", "seconds"), [("ab", 60), ("b", 60.001)], ids=["within-a-minute", "then"]
)
def test_readers_have_a_minute(
    store: RevocationStore, server: Valkey, left: str, seconds: float
) -> None:
    """For a record that they may have read last: since the next one was added."""
    for name in "ab":
        store.add([entry(name)])

    swept(store, time_of(read(store).last) + seconds)

    assert left == names(server)


@pytest.mark.parametrize(
    ("left", "here", "there"),
    [
        pytest.param("b", FUTURE, FUTURE, id="by-both"),
        pytest.param("ab", FUTURE - 1, FUTURE, id="by-the-server"),
        pytest.param("ab", FUTURE, FUTURE - 1, id="by-this-process"),
    ],
)
def test_whose_clock(
    store: RevocationStore,
    server: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    left: str,
    here: float,
    there: float,
) -> None:
    """An entry has ended when both say so."""
    for name in "ab":
        store.add([entry(name, FUTURE)])
    monkeypatch.setattr(time, "time", lambda: here)

    swept(store, there)

    assert left == names(server)
