"""What does a challenge say where DPoP is understood? Both schemes, or the one that was used."""

from jwt_deps.errors import AuthError, InvalidRequestError, MissingTokenError
from jwt_deps.possession.policy import DPoPMode, SenderPolicy

__all__ = ["with_dpop"]


def with_dpop(challenge: str, error: AuthError, policy: SenderPolicy, *, used: bool) -> str:
    """Turn the challenge of a bearer into that of a service with DPoP (RFC 9449 §7.1, §7.2).

    Args:
        challenge: `Bearer` and its parameters.
        error: what it is about.
        policy: of the service.
        used: whether the request came with the scheme `DPoP`.
    """
    parameters = challenge.removeprefix("Bearer ")
    algorithms = f'algs="{" ".join(policy.algorithms)}"'
    if used and not isinstance(error, InvalidRequestError):
        return f"DPoP {parameters}, {algorithms}"
    if isinstance(error, InvalidRequestError):  # nobody knows which one was meant
        return f"{challenge}, DPoP {parameters}, {algorithms}"
    if isinstance(error, MissingTokenError) and policy.dpop is DPoPMode.REQUIRED:
        return f"DPoP {parameters}, {algorithms}"
    return f"{challenge}, DPoP {algorithms}"
