"""A user sees only the sessions of the token's user."""

from dataclasses import dataclass

import pytest

from .clients import AgentOSClient, good, name


@dataclass(frozen=True)
class Owner:
    """A user with one session."""

    user: str
    session: str

    @property
    def headers(self) -> dict[str, str]:
        """A token of this user that names no session."""
        return good(sub=self.user)


@pytest.fixture
def owners(agents: AgentOSClient) -> tuple[Owner, Owner]:
    """Return two users with a session each."""
    two = (Owner(name("ann"), name("s")), Owner(name("bob"), name("s")))
    for owner in two:
        agents.answer(good(sub=owner.user, session_id=owner.session, theme=owner.user))
    return two


def test_list_holds_the_own_sessions_only(
    agents: AgentOSClient, owners: tuple[Owner, Owner]
) -> None:
    """Two users, two lists."""
    for owner in owners:
        assert agents.sessions(owner.headers) == [owner.session]


def test_query_does_not_choose_the_user(agents: AgentOSClient, owners: tuple[Owner, Owner]) -> None:
    """`?user_id=` of another user changes nothing."""
    ann, bob = owners

    assert agents.sessions(bob.headers, user_id=ann.user) == [bob.session]


@pytest.mark.parametrize("below", ["", "/runs", "/run-previews"])
def test_session_of_another_user_is_not_found(
    agents: AgentOSClient, owners: tuple[Owner, Owner], below: str
) -> None:
    """It answers like a session that does not exist; its owner reads it."""
    ann, bob = owners
    path = f"{ann.session}{below}"

    assert agents.session(bob.headers, path).status_code == 404
    assert agents.session(bob.headers, path, user_id=ann.user).status_code == 404
    assert agents.session(ann.headers, path).status_code == 200


def test_session_holds_the_claims_of_its_owner(
    agents: AgentOSClient, owners: tuple[Owner, Owner]
) -> None:
    """What the run was given is what was stored."""
    ann, _ = owners

    stored = agents.session(ann.headers, ann.session).json()

    assert (stored["user_id"], stored["session_state"]) == (ann.user, {"theme": ann.user})


def test_session_of_another_user_is_not_deleted(
    agents: AgentOSClient, owners: tuple[Owner, Owner]
) -> None:
    """AgentOS says nothing about it, and does nothing."""
    ann, bob = owners

    one = agents.session(bob.headers, ann.session, "DELETE", user_id=ann.user)
    several = agents.http.request(
        "DELETE",
        "/sessions",
        params={"user_id": ann.user},
        json={"session_ids": [ann.session], "session_types": ["agent"]},
        headers=bob.headers,
    )

    assert (one.status_code, several.status_code) == (204, 204)
    assert agents.sessions(ann.headers) == [ann.session]


def test_session_of_another_user_is_not_renamed(
    agents: AgentOSClient, owners: tuple[Owner, Owner]
) -> None:
    """It does not exist for others."""
    ann, bob = owners

    response = agents.http.post(
        f"/sessions/{ann.session}/rename",
        params={"type": "agent", "user_id": ann.user},
        json={"session_name": "mine now"},
        headers=bob.headers,
    )

    assert response.status_code == 404
    assert agents.session(ann.headers, ann.session).json()["session_name"] == "Who am I?"


def test_session_is_not_created_for_another_user(
    agents: AgentOSClient, owners: tuple[Owner, Owner]
) -> None:
    """A body that names another user makes a session of the token's user."""
    ann, bob = owners
    session = name("session")

    response = agents.http.post(
        "/sessions",
        params={"type": "agent"},
        json={"session_id": session, "user_id": ann.user, "agent_id": "assistant"},
        headers=bob.headers,
    )

    assert (response.status_code, response.json()["user_id"]) == (201, bob.user)
    assert agents.sessions(ann.headers) == [ann.session]
    assert sorted(agents.sessions(bob.headers)) == sorted([bob.session, session])


def test_owner_deletes_the_own_session(agents: AgentOSClient, owners: tuple[Owner, Owner]) -> None:
    """Isolation is no lock for the owner."""
    ann, bob = owners

    response = agents.session(ann.headers, ann.session, "DELETE")

    assert response.status_code == 204
    assert agents.sessions(ann.headers) == []
    assert agents.sessions(bob.headers) == [bob.session]
