"""How is something remembered without ever growing? In two generations, of which the older dies."""

from typing import Generic, TypeVar

__all__ = ["BoundedMap"]

K = TypeVar("K")
V = TypeVar("V")


class BoundedMap(Generic[K, V]):
    """A map of at most `size` entries that forgets those that nobody asked for the longest.

    The young generation takes what is new and what is asked for; when it is full, it becomes the
    old one, and whatever was still in that is forgotten. So a look-up writes nothing, and every
    step is a single operation on a dict: threads can lose an entry, and never see a wrong one.

    Args:
        size: the most entries of both generations; 0 remembers nothing.
    """

    __slots__ = ("_half", "_old", "_size", "_young")

    def __init__(self, size: int) -> None:
        self._size = size
        self._half = max(1, size // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """The value of a key, if it is remembered."""
        value = self._young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember a value, for now."""
        if not self._size:
            return
        if len(self._young) >= self._half:
            self._young, self._old = {}, self._young if self._size > 1 else {}
        self._young[key] = value

    def discard(self, key: K) -> None:
        """Forget a value."""
        self._young.pop(key, None)
        self._old.pop(key, None)
