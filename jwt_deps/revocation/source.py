"""Ask the sources of revocations whether a token was revoked, once its signature is verified.

A source gets the claims of a verified token, and answers from memory: `True`,
`False`, or `None` if it has to fetch something first. A token passes if every source says `False`.

`MemoryRevocations` and `RedisRevocations` have entries, which name tokens in four ways:

    jti       one token
    session   every token of a session
    subject   every token of a user that was issued until a time
    issuer    every token of an issuer that was issued until a time
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Protocol

from jwt_deps.errors import RevocationUnavailableError, RevokedTokenError


class RevocationSource(Protocol):
    """A source of revocations, for `JWTSettings(revocation=...)`: an object with `is_revoked`.

    It may have `async def prepare(claims)` too, which fetches what the answer for a token depends
    on, or raises `RevocationUnavailableError`; and `open()` and `close()`, which an application
    calls in a thread when it starts and stops: `open` returns once answers are cached, or after a
    few seconds without.
    """

    def is_revoked(self, claims: Mapping[str, Any]) -> bool | None:
        """Return whether the token with these claims was revoked, without waiting for I/O.

        Args:
            claims: the claims of a token that passed every other check.

        Returns:
            `True` refuses the token with 401, `False` accepts it. `None`: the source has to fetch
            something first; then its `prepare` is awaited and it is asked once more. Without a
            `prepare` the token is refused with 503.

        Raises:
            RevocationUnavailableError: it cannot be found out now; the answer is 503.
        """
        ...


async def refuse_revoked(source: RevocationSource, claims: Mapping[str, Any]) -> None:
    """Refuse a token that was revoked, or whose revocation cannot be looked up.

    Raises:
        RevokedTokenError: it was revoked.
        RevocationUnavailableError: that cannot be found out.
    """
    revoked = source.is_revoked(claims)
    if revoked is None and (prepare := getattr(source, "prepare", None)) is not None:
        await prepare(claims)
        revoked = source.is_revoked(claims)
    if revoked is None:
        raise RevocationUnavailableError
    if revoked is not False:
        raise RevokedTokenError


class AnyRevocation:
    """Several sources as one: a token is revoked if one of them says so.

    Args:
        *sources: the sources, asked in this order.

    Example:
        ```python
        settings = JWTSettings(revocation=AnyRevocation(MemoryRevocations(), status_lists))
        ```
    """

    def __init__(self, *sources: RevocationSource) -> None:
        given = (it.sources if type(it) is AnyRevocation else (it,) for it in sources)
        self.sources: tuple[RevocationSource, ...] = tuple(chain.from_iterable(given))

    def is_revoked(self, claims: Mapping[str, Any]) -> bool | None:
        """Return whether one says so; `None` if none does and one has to fetch something first.

        Raises:
            RevocationUnavailableError: none says so, and one cannot answer; 503.
        """
        is_known, outage = True, None
        for source in self.sources:
            try:
                revoked = source.is_revoked(claims)
            except RevocationUnavailableError as error:
                outage = error
                continue
            if revoked is None:
                is_known = False
            elif revoked is not False:
                return True
        if outage is not None:
            raise outage
        return False if is_known else None

    async def prepare(self, claims: Mapping[str, Any]) -> None:
        """Have each source prepare that has to."""
        for source in self.sources:
            prepare = getattr(source, "prepare", None)
            if prepare is not None and source.is_revoked(claims) is None:
                await prepare(claims)

    def open(self) -> None:
        """Start each source that works in the background."""
        for source in self.sources:
            getattr(source, "open", lambda: None)()

    def close(self) -> None:
        """Stop each source."""
        for source in self.sources:
            getattr(source, "close", lambda: None)()
