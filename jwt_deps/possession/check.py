"""Check with every request that its sender has what the token is bound to (`cnf`, RFC 7800)."""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from jwt_deps import telemetry
from jwt_deps.errors import ConfirmationError, DPoPProofError, Reason, ReplaysUnavailableError

from .dpop import EARLIEST, LATEST, Proof, check_proof
from .mtls import check_certificate
from .policy import SenderPolicy
from .replay_store import StoreUnavailableError

#: The key in the ASGI scope of a list, to which the nonce for the answer is added.
FRESH_NONCE = "jwt_deps.dpop_nonce"

_Scope = MutableMapping[str, Any]


async def confirm(  # noqa: PLR0913 - what is known of the request, and what is asked
    scope: _Scope,
    token: str,
    bound: Mapping[str, Any],
    policy: SenderPolicy,
    *,
    by_dpop: bool,
    used: set[str],
) -> None:
    """Have the sender prove what a verified token is bound to, by all members of its `cnf`.

    Args:
        scope: the request, as ASGI has it.
        token: the encoded token.
        bound: the members of its `cnf` claim (RFC 7800); empty without one.
        policy: what is asked of senders.
        by_dpop: whether the token came with the scheme `DPoP` (RFC 9449 §7.1).
        used: the proofs that this request was accepted with before, for a second guard with
            settings of its own; what is accepted now is added.

    Raises:
        ConfirmationError: the sender does not prove what the token is bound to; 401.
        DPoPProofError: the proof is missing, not valid, or has been used before; 401.
        ReplaysUnavailableError: the replay store does not answer; 503.
        TooManyProofsError: the key has made more proofs than are kept of one; 429.
    """
    if "x5t#S256" in bound:
        check_certificate(scope, bound["x5t#S256"], policy)
    by_dpop = by_dpop and policy.with_dpop
    policy.refuse_unbound(bound, by_dpop=by_dpop)
    if "jkt" not in bound:
        return
    if not by_dpop:
        raise ConfirmationError(Reason.DOWNGRADED, "it is bound to a key, and came as a bearer's")
    now = time.time()
    proof = check_proof(
        [value.decode("latin-1") for name, value in scope["headers"] if name == b"dpop"],
        policy,
        method=scope.get("method") or "GET",  # RFC 6455 §4.1: of a handshake
        path=_below(policy.origin, scope),
        token=token,
        bound_to=bound["jkt"],
        now=now,
    )
    await _refuse_replay(proof, policy, now, used)
    if proof.next_nonce is not None:  # before that of the client expires (RFC 9449 §8.2)
        scope.get(FRESH_NONCE, []).append(proof.next_nonce)


async def _refuse_replay(proof: Proof, policy: SenderPolicy, now: float, used: set[str]) -> None:
    """Refuse a proof that another request was accepted with, and record that this one is.

    It is recorded for as long as any process would accept it: until `-EARLIEST` seconds after its
    `iat`, and `LATEST` more for a clock that is behind.
    """
    ttl = proof.issued_at - now - EARLIEST + LATEST
    try:
        unused = await policy.store.add_if_absent(proof.key, ttl)
    except StoreUnavailableError as error:
        raise ReplaysUnavailableError from error
    if not unused and proof.key not in used:
        telemetry.replay_rejected()
        raise DPoPProofError(Reason.PROOF_REPLAYED, "it has been used before")
    used.add(proof.key)


def _below(origin: str, scope: _Scope) -> str:
    """Return the path that the client sent, without the prefix that the public origin has.

    Its escapes are as they were sent, and no header can change it.
    """
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        path = quote(scope["path"], safe="/:@!$&'()*+,;=~")
    else:
        path = raw.partition(b"?")[0].decode("latin-1")
    # uvicorn puts its `--root-path` back in front of what a proxy has cut off. Starlette matches
    # routes without it, so that no other route is meant by either spelling.
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    if path.startswith(f"{root}/") and urlsplit(origin).path.endswith(root):
        return path.removeprefix(root)
    return path
