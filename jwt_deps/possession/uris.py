"""Do two URIs name the same target? Normalised by RFC 3986 §6.2.2 and §6.2.3, and compared."""

import re

__all__ = ["origin_of", "target_uri"]

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?[^#]*)?(?:#.*)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@\[\]]+)(?::([0-9]*))?")
_VISIBLE = re.compile(r"[\x21-\x5b\x5d-\x7e]*")  # and no backslash, which some take for a slash
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# No URI has these unescaped (RFC 3986 §2), and browsers leave some of them so.
_FOREIGN = re.compile(r'["<>^`{|}]')
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def target_uri(uri: str) -> str:
    """Normalise a URI, without its query and fragment (RFC 9449 §4.3).

    Scheme and host in lower case, escapes in upper case and only where they are needed, no dot
    segments, no default port, `/` for an empty path. `%2F` stays what it is: no slash.

    Raises:
        ValueError: no URI with an authority, or one with user information.
    """
    parts = _URI.fullmatch(uri) if _VISIBLE.fullmatch(uri) else None
    authority = _AUTHORITY.fullmatch(parts[2]) if parts else None
    if parts is None or authority is None:
        raise ValueError("no URI that names a target")
    scheme = parts[1].lower()
    host, port = _escaped(authority[1]).lower(), authority[2]
    # Lower case is for the host's letters, upper case for those of its escapes.
    host = _ESCAPE.sub(lambda escape: escape[0].upper(), host)
    shown = "" if not port or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    path = _without_dots(_escaped(parts[3])) or "/"
    return f"{scheme}://{host}{shown}{path}"


def origin_of(uri: str) -> str:
    """Normalise a public origin, with the prefix that a proxy takes away, if it has one.

    Raises:
        ValueError: no `http` or `https` URI, or one with a query or a fragment.
    """
    if "?" in uri or "#" in uri:
        raise ValueError("has a query or a fragment")
    normalised = target_uri(uri)
    if normalised.partition(":")[0] not in _DEFAULT_PORTS:
        raise ValueError("does not begin with https://")
    return normalised.rstrip("/")


def _escaped(text: str) -> str:
    """Escape what must be, and nothing else (RFC 3986 §6.2.2.1, §6.2.2.2)."""
    return _ESCAPE.sub(_normal, _FOREIGN.sub(lambda found: f"%{ord(found[0]):02X}", text))


def _normal(escape: re.Match[str]) -> str:
    if escape[1] is None:
        raise ValueError("an escape is cut short")
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986 §5.2.4) of a path that is empty or begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for position, segment in enumerate(segments):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
            continue
        if position == len(segments) - 1:
            kept.append("")
    return "".join(f"/{segment}" for segment in kept)
