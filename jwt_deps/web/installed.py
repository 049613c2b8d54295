"""Whether `protect` was called for an application, and its guard is still in place there."""

from typing import TYPE_CHECKING, Self

from fastapi.applications import FastAPI

if TYPE_CHECKING:
    from .guard import JWTGuard

#: The name of an attribute of an application.
OURS = "_jwt_deps"


class Installed:
    """Whether a guard applies to everything in an application, and is still asked."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._guard: JWTGuard | None = None

    @classmethod
    def known(cls, app: FastAPI) -> Self | None:
        """What was put into an application; `None` if nothing was."""
        one: Self | None = vars(app).get(OURS)
        # A copy of an application has the attribute of the original.
        return None if one is None or one._app is not app else one  # noqa: SLF001 - its own class

    @property
    def is_protected(self) -> bool:
        """Whether a guard applies to everything in the application, and is asked."""
        return self._guard is not None and self._is_in_place

    @property
    def is_displaced(self) -> bool:
        """Whether `protect` was called and no longer applies: what it was put into was replaced."""
        return self._guard is not None and not self._is_in_place

    @property
    def _is_in_place(self) -> bool:
        return getattr(self._app.router.middleware_stack, "__self__", None) is self
