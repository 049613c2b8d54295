"""What replicas know is never forgotten, whatever the server loses and whichever process ends.

The threads of the replicas are driven by hand, at a time of the test's own; the server is real.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jwt_deps.revocation import redis as redis_revocations
from jwt_deps.testing import VirtualClock

from .test_redis import _delete, _flush, _trim
from .test_steps import Replica
from .valkey import STREAM, Valkey, valkey

NAMES = ("a", "b", "c")
WHO = st.integers(0, 1)


def take_the_last(client: redis.Redis) -> None:
    records: Any = client.xrevrange(STREAM, count=1)
    for record, _ in records:
        client.xdel(STREAM, record)


class AnyCourseOfEvents(RuleBasedStateMachine):
    """Two processes revoke and read, begin anew and fork, while the server loses entries."""

    server: ClassVar[Valkey]
    clock: ClassVar[VirtualClock]

    def __init__(self) -> None:
        super().__init__()
        self.server.lose_everything()
        self.server.initialize()
        self.replicas = [self.process(), self.process()]
        #: What each has once called revoked.
        self.known: list[set[str]] = [set(), set()]
        self.revoked: set[str] = set()

    def process(self) -> Replica:
        return Replica(self.server.url, max_staleness=2)

    def teardown(self) -> None:
        for replica in self.replicas:
            replica.close()

    @rule(who=WHO, name=st.sampled_from(NAMES))
    def revoke(self, who: int, name: str) -> None:
        self.replicas[who].revoke(jti=name)
        self.known[who].add(name)
        self.revoked.add(name)

    @rule(who=WHO, steps=st.integers(1, 4))
    def read(self, who: int, steps: int) -> None:
        for _ in range(steps):
            self.replicas[who].step()

    @rule(seconds=st.sampled_from([0.1, 1.1, 2.5, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(lose=st.sampled_from([_flush, _delete, _trim, take_the_last]))
    def lose(self, lose: Callable[[redis.Redis], None]) -> None:
        with self.server.client() as client:
            lose(client)

    @rule(who=WHO)
    def begin_anew(self, who: int) -> None:
        self.replicas[who].close()
        self.replicas[who], self.known[who] = self.process(), set()

    @rule(who=WHO)
    def fork(self, who: int) -> None:
        """The child has what the parent had read."""
        self.replicas[who].after_fork()

    @invariant()
    def what_was_refused_is_never_accepted(self) -> None:
        for replica, known in zip(self.replicas, self.known, strict=True):
            answers = {name: replica.answer(name) for name in NAMES}
            assert [] == [name for name in known if answers[name] is False]
            known.update(name for name, answer in answers.items() if answer)
            assert self.revoked >= known

    @rule()
    def settle(self) -> None:
        """With time, all that one of them knows is known to both, and both answer."""
        for round_ in range(60):
            self.clock.advance(0.5)
            for replica in self.replicas:
                replica.step()
            loaded = [replica.health().loaded for replica in self.replicas]
            if round_ == 30 and not any(loaded):
                self.server.initialize()  # as an operator does, where none can know
        for name in self.known[0] | self.known[1]:
            assert [True, True] == [replica.answer(name) for replica in self.replicas]
        for name in set(NAMES) - self.revoked:
            assert [False, False] == [replica.answer(name) for replica in self.replicas]


class TestAnyCourseOfEvents(AnyCourseOfEvents.TestCase):  # type: ignore[valid-type,misc]
    settings = settings(
        max_examples=20,
        derandomize=True,
        database=None,
        stateful_step_count=30,
        deadline=None,
        phases=[Phase.generate],  # a failure that is made smaller step by step takes minutes
    )

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        AnyCourseOfEvents.clock = VirtualClock(1000)
        monkeypatch.setattr(redis_revocations, "uptime", AnyCourseOfEvents.clock)
        monkeypatch.setattr(redis_revocations, "_HEARTBEAT", 0)
        with valkey(tmp_path) as AnyCourseOfEvents.server:
            yield
