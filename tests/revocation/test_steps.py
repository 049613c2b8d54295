"""What a replica does step by step, at a time of the test's own; the server is real."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from jwt_deps import RedisRevocations, RevocationUnavailableError
from jwt_deps.revocation import redis_stream
from jwt_deps.testing import VirtualClock

from .valkey import STREAM, Valkey, fill


class Steps(threading.Event):
    """Lets a replica's thread do some steps, and keeps its pauses."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number
        self.pauses: list[float] = []

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0)
        return False


class Replica(RedisRevocations):
    """A replica whose thread does steps when it is told to, and does not wait between them."""

    def _begin(self) -> None:
        """Start no thread."""

    def step(self, number: int = 1) -> Steps:
        """Do some steps."""
        steps = Steps(number)
        self._run(steps)
        return steps

    def answer(self, name: str) -> bool | None:
        """Whether a token is revoked; `None` is 503."""
        try:
            return self.is_revoked({"jti": name, "iat": 1})
        except RevocationUnavailableError:
            return None


@pytest.fixture(autouse=True)
def _at_once(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """A step waits for nothing, and takes no time."""
    monkeypatch.setattr("jwt_deps.revocation.redis._HEARTBEAT", 0)


@pytest.fixture
def one(server: Valkey) -> Replica:
    """A replica that has revoked `a`, `b` and `c` and read all."""
    return loaded(server, "abc")


def loaded(server: Valkey, names: str = "", **options: Any) -> Replica:
    """A replica that has revoked these, and read all that there is."""
    made = Replica(server.url, **{"max_staleness": 2, **options})
    for name in names:
        made.revoke(jti=name)
    made.step(3)
    assert made.health().loaded
    return made


def stored(server: Valkey) -> dict[str, int]:
    """How often each name is on the server."""
    return Counter(entry[2] for entry in server.stored())


def remove(server: Valkey, *places: int) -> None:
    """Delete the records at these places of the stream."""
    with server.client() as client:
        records: Any = client.xrange(STREAM)
        client.xdel(STREAM, *(records[place][0] for place in places))


def copied(server: Valkey) -> Any:
    """A copy of the stream."""
    with server.binary_client() as client:
        return client.dump(STREAM)


def restore(server: Valkey, copy: Any) -> None:
    """Let the server have the copy, as after a failover."""
    with server.binary_client() as client:
        client.restore(STREAM, 0, copy, replace=True)


def raising(error: type[BaseException]) -> Callable[..., None]:
    """What fails."""

    def fail(*_: object) -> None:
        raise error

    return fail


def refuse(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Have the server refuse to write; what it is asked to."""
    asked: list[object] = []

    def add(entries: list[object]) -> None:
        asked.extend(entries)
        raise redis.ResponseError

    monkeypatch.setattr(replica._store, "add", add)
    return asked


def test_the_last_records_are_returned_alone(
    one: Replica, server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """What a failover loses; the replica answers all the time and says so, and others read on."""
    copy = copied(server)
    one.revoke(jti="d")
    one.step()
    other = loaded(server)
    restore(server, copy)
    for _ in range(4):
        one.step()
        assert [True, False] == [one.answer("d"), one.answer("e")]

    assert dict.fromkeys("abcd", 1) == stored(server)
    other.step(4)
    assert dict.fromkeys("abcd", 1) == stored(server)
    assert False is loaded(server).answer("e")
    assert "the server has lost its last revocations" in caplog.text


def test_a_record_in_the_middle_is_returned_alone(
    one: Replica,
    server: Valkey,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was read is looked up, page by page; meanwhile a process that starts does not answer.

    The one that has noticed says so once.
    """
    monkeypatch.setattr(redis_stream, "_PAGE", 2)
    remove(server, 2)
    one.step(8)

    assert {"a": 1, "b": 1, "c": 1} == stored(server)
    late = Replica(server.url, max_staleness=2)
    clock.advance(0.9)
    one.step(3)
    late.step(5)
    assert [None, True] == [late.answer("d"), late.answer("b")]
    assert "Incomplete" == late.health().last_error

    clock.advance(0.1)
    fill(server, 5, 60)
    one.step(2)  # it has not read all of that yet
    late.step(8)
    assert None is late.answer("d")
    one.step(3)
    late.step(2)

    assert [False, True] == [late.answer("d"), late.answer("b")]
    assert None is late.health().last_error
    assert 1 == caplog.text.count("the server has lost")


def test_the_first_record_may_be_lost_alone(one: Replica, server: Valkey) -> None:
    """Nothing is returned that is there."""
    remove(server, 0)
    one.step(5)

    assert {"a": 1, "b": 1, "c": 1} == stored(server)


def test_two_losses(one: Replica, server: Valkey) -> None:
    """After the second one only what it took is returned."""
    server.lose_everything()
    one.step(8)
    assert {"a": 1, "b": 1, "c": 1} == stored(server)
    one.revoke(jti="d")
    copy = copied(server)
    one.revoke(jti="e")
    one.step(2)

    restore(server, copy)
    one.step(4)

    assert {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1} == stored(server)


def test_the_last_ones_are_returned_first(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the loss of everything: other processes may not have read them."""
    monkeypatch.setattr("jwt_deps.revocation.redis._RECENT", 3)
    monkeypatch.setattr("jwt_deps.revocation.redis.BATCH", 3)
    one = loaded(server, "abcdef")
    server.lose_everything()

    one.step(3)

    assert ["f", "e", "d"] == [entry[2] for entry in server.stored()][:3]


@pytest.mark.parametrize(
    ("expected", "seconds"), [(None, 4.9), (False, 5.0)], ids=["just-before", "long-before"]
)
def test_who_began_with_an_older_copy(
    one: Replica,
    server: Valkey,
    clock: VirtualClock,
    expected: bool | None,  # noqa: FBT001
    seconds: float,
) -> None:
    """A process that loaded within five seconds before another notices it stops answering."""
    copy = copied(server)
    one.revoke(jti="d")
    one.step()
    one._recent.clear()  # that was yesterday
    restore(server, copy)
    late = loaded(server, max_staleness=20)
    clock.advance(seconds)
    one.step()

    late.step()

    assert expected is late.answer("e")


def test_what_could_not_be_sent_is_sent_before_a_load_ends(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a bulk revocation by another process does not hold it up; nothing else is."""
    monkeypatch.setattr(redis_stream, "_PAGE", 2)
    one = loaded(server, "a")
    server.lose_everything()
    server.initialize()
    fill(server, 10, 60)
    with monkeypatch.context() as refusing:
        refuse(one, refusing)
        with pytest.raises(RevocationUnavailableError):
            one.revoke(jti="b")
    one._unsent.extend(one._unsent)  # it was revoked twice

    one.step(3)

    assert 1 == stored(server)["b"]
    assert not one.health().unsent


def test_what_others_add_is_read_before_more_is_returned(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that reading keeps up."""
    monkeypatch.setattr("jwt_deps.revocation.redis._RECENT", 1)
    monkeypatch.setattr("jwt_deps.revocation.redis.BATCH", 1)
    one = loaded(server, "abcd")
    server.lose_everything()
    one.step(3)
    before = stored(server)
    fill(server, 11, 60)
    monkeypatch.setattr(redis_stream, "_PAGE", 5)

    one.step(2)
    meanwhile = stored(server)
    one.step(3)

    assert 2 == len(before)
    assert before.keys() == meanwhile.keys() & set("abcd")
    assert set("abcd") < stored(server).keys()


def test_what_the_server_refuses_is_sent_every_two_seconds(
    server: Valkey, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not more often; the log says so once."""
    one, counts = loaded(server), []
    asked = refuse(one, monkeypatch)
    with pytest.raises(RevocationUnavailableError):
        one.revoke(jti="a")
    for seconds in (0, 1.9, 0.1, 1.9, 0.1):
        clock.advance(seconds)
        one.step()
        counts.append(len(asked))

    assert [2, 2, 3, 3, 4] == counts
    assert (1, "ResponseError") == (one.health().unsent, one.health().last_error)
    monkeypatch.undo()


def test_a_loss_that_cannot_be_mended(
    one: Replica, server: Valkey, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has read all goes on answering, and one that starts does not begin to."""
    refuse(one, monkeypatch)
    remove(server, 2)
    late = Replica(server.url, when_stale="serve")
    for _ in range(3):
        clock.advance(1.5)
        one.step(3)
        late.step(3)
        assert [False, None] == [one.answer("d"), late.answer("d")]
    assert "ResponseError" == one.health().last_error

    monkeypatch.undo()


def test_a_replica_at_rest_looks_for_nothing(
    one: Replica, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among a million entries that would take a second; and it writes nothing."""
    monkeypatch.setattr(one._entries, "unseen", raising(AssertionError))
    monkeypatch.setattr(one._store, "declare_whole", raising(AssertionError))
    clock.advance(1)
    one.step(3)

    assert False is one.answer("d")


def test_pauses_of_a_server_out_of_reach(server: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """Each is twice the one before, 20 % more or less, until it answers; the log says it once."""
    one = loaded(server)
    server.kill()
    pauses = one.step(9).pauses

    expected = [0.05 * 2**number for number in range(9)]
    assert [pytest.approx(min(2, it), rel=0.21) for it in expected] == pauses
    assert 1 == caplog.text.count("cannot be read")


def test_the_pause_after_a_success_is_short_again(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the server was out of reach before."""
    one = loaded(server)
    follow, answers = one._follow, iter([*"xxxx", "", *"xx"])

    def following(wait: float) -> float:
        if next(answers):
            raise ConnectionError
        return follow(wait)

    monkeypatch.setattr(one, "_follow", following)

    pauses = one.step(7).pauses

    expected = [0.05, 0.1, 0.2, 0.4, 0.05, 0.1]
    assert [pytest.approx(it, rel=0.21) for it in expected] == pauses


def test_what_a_crash_took_that_was_not_read_yet(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is returned, although the server has nothing that tells of it."""
    one = loaded(server, "a")
    copy = copied(server)
    one.revoke(jti="b")
    with monkeypatch.context() as crash:
        crash.setattr(one._store, "read", raising(ConnectionError))
        one.step()
    restore(server, copy)

    one.step(3)

    assert {"a": 1, "b": 1} == stored(server)


def test_ended_entries_are_dropped_here(server: Valkey) -> None:
    """By a process that follows, and by one that only revokes."""
    one, follower = (Replica(server.url) for _ in range(2))
    for name in "ab":
        one.revoke(jti=name, expires=time.time() - 1000)
    follower.step()

    assert [1, 0] == [len(one), len(follower)]


def test_a_read_that_takes_long(
    server: Valkey, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer is as old as the question."""
    one = loaded(server)
    read: Callable[..., object] = one._store.read

    def slowly(*arguments: Any) -> object:
        clock.advance(1)
        return read(*arguments)

    monkeypatch.setattr(one._store, "read", slowly)
    one.step()

    assert 1 == one.health().age
