"""The cost of a verification by token size and number of keys, issuers and callers."""

import asyncio
import gc
import hashlib
import hmac
import json
import time
import tracemalloc
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import tokens
from benchmarks.measuring import (
    Effort,
    Findings,
    Measured,
    Slice,
    awaits_of,
    fastest_of,
    take_turns,
)
from benchmarks.per_request import in_a_loop
from benchmarks.verifying import settings_for
from jwt_deps import IssuerSettings, JWTSettings
from jwt_deps.tokens import authenticate_token
from jwt_deps.tokens.verify import verify

__all__ = ["distinct", "issuers", "keys", "size"]

_KIB = 1024
#: The longest is as long as the default of `max_token_size` allows.
_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
_COUNTS = (1, 10, 100, 1000)
_CALLERS = (1, 100, 1_000, 10_000, 100_000, 1_000_000)
#: The last of a flood, whose memory is traced: enough to fill the cache anew, some times over.
_TRACED = 10_000


def size(effort: Effort) -> Findings:
    """Microseconds of a verification, and of a token seen before, by the size of the token."""
    sizes = _SIZES[:2] if effort.quick else _SIZES
    figures: dict[str, float] = {}
    heads = " | ".join(f"{number / _KIB:g} KiB" for number in sizes)
    lines = [f"| Token of | {heads} | µs per KiB more |", "|---" + "|---:" * (len(sizes) + 1) + "|"]
    for algorithm in ("HS256", "RS256"):
        sent = [_padded(number, algorithm) for number in sizes]
        for what, make in (("new", _verification), ("seen before", _recognition)):
            slices = {str(len(token)): make(token, algorithm) for token in sent}
            measured = in_a_loop(take_turns(slices[str(len(sent[0]))], slices, effort))
            spent = [it.quiet for it in measured.values()]
            slope = (spent[-1] - spent[0]) / (len(sent[-1]) - len(sent[0])) * _KIB
            figures[f"size/{what} {algorithm}"] = slope
            cells = " | ".join(f"{one:.1f}" for one in spent)
            lines.append(f"| {what} {algorithm} | {cells} | {slope:.2f} |")
    lines += ["", "Tokens of more than 4 KiB are not remembered: they are verified each time."]
    return Findings("Size of the token, µs per verification", figures, "\n".join(lines))


def keys(effort: Effort) -> Findings:
    """Microseconds of a verification by the number of keys, of which the last one signed."""
    counts = _COUNTS[:2] if effort.quick else _COUNTS
    slices: dict[str, Slice] = {}
    built: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jwks.json"
        for count in counts:
            published = [tokens.jwk(f"key-{number}") for number in range(count)]
            path.write_text(json.dumps({"keys": published}))
            make = partial(
                JWTSettings,
                jwks_file=path,
                algorithm="RS256",
                audience=tokens.AUDIENCE,
                issuer=tokens.ISSUER,
            )
            built[str(count)] = fastest_of(make, effort) * 1e6
            token = tokens.signed(tokens.claims(), "RS256", f"key-{count - 1}")
            slices[str(count)] = awaits_of(partial(verify, token, make()))
    measured = in_a_loop(take_turns(slices["1"], slices, effort))
    last = str(counts[-1])
    per_key = (built[last] - built["1"]) / (counts[-1] - 1)
    lines = [
        *_rows("Keys", "RS256", measured),
        f"| settings built, ms | {' | '.join(f'{one / 1e3:.2f}' for one in built.values())} |",
    ]
    figures = {"keys/ratio": measured[last].ratio, "keys/built": per_key}
    return Findings("Number of keys", figures, "\n".join(lines))


def issuers(effort: Effort) -> Findings:
    """Microseconds of a verification by the number of issuers, of which the last one signed."""
    counts = _COUNTS[:2] if effort.quick else (*_COUNTS, 10_000)
    slices: dict[str, Slice] = {}
    built: dict[str, float] = {}
    for count in counts:
        known = dict.fromkeys(f"https://{number}.example" for number in range(count))
        settings = JWTSettings(issuers=partial(_issuer, known))
        sent = [tokens.signed(tokens.claims() | {"iss": issuer}, "HS256") for issuer in known]
        begun = time.perf_counter()
        asyncio.run(_verified(sent, settings))  # the function is asked once for each
        built[f"{count:,}"] = (time.perf_counter() - begun) / count * 1e6
        slices[f"{count:,}"] = awaits_of(partial(verify, sent[-1], settings))
    measured = in_a_loop(take_turns(slices["1"], slices, effort))
    lines = [
        *_rows("Issuers", "HS256", measured),
        f"| the first token of each, µs | {' | '.join(f'{one:.0f}' for one in built.values())} |",
    ]
    figures = {"issuers/ratio": measured[f"{counts[-1]:,}"].ratio}
    return Findings("Number of issuers that a function gives", figures, "\n".join(lines))


def _rows(what: str, algorithm: str, measured: Mapping[str, Measured]) -> list[str]:
    """The beginning of a table with a column for each number of something."""
    return [
        f"| {what} | {' | '.join(measured)} |",
        "|---" + "|---:" * len(measured) + "|",
        f"| {algorithm}, µs | {' | '.join(f'{it.quiet:.1f}' for it in measured.values())} |",
        f"| ratio to one | {' | '.join(f'{it.ratio:.2f}' for it in measured.values())} |",
    ]


def _issuer(known: Collection[str], issuer: str) -> IssuerSettings | None:
    if issuer not in known:
        return None
    return IssuerSettings(secret_key=tokens.SECRET, issuer=issuer, audience=tokens.AUDIENCE)


async def _verified(sent: Iterable[str], settings: JWTSettings) -> None:
    for token in sent:
        await verify(token, settings)


def distinct(effort: Effort) -> Findings:
    """Time and memory when so many callers take turns, each with a token of their own."""
    counts = _CALLERS[:2] if effort.quick else _CALLERS
    rows = [_flood(count) for count in counts]
    lines = [
        "| Tokens in rotation | µs per token | remembered | KiB held |",
        "|---:|---:|---:|---:|",
    ]
    for count, (spent, remembered, held) in zip(counts, rows, strict=True):
        lines.append(f"| {count:,} | {spent:.1f} | {remembered:,} | {held / _KIB:,.0f} |")
    most = max(held for *_, held in rows)
    figures = {"distinct/held": most / _KIB, "distinct/remembered": max(row[1] for row in rows)}
    return Findings("Distinct tokens, HS256, a cache of 2,048", figures, "\n".join(lines))


def _flood(count: int) -> tuple[float, int, int]:
    """Microseconds per token, entries and bytes of the cache after all of them."""
    settings = settings_for("HS256", 2048)
    repeats = max(1, _TRACED // count)
    spent, seen = 0.0, 0
    for first in range(0, count, _TRACED):
        sent = list(_minted(first, min(count, first + _TRACED)))
        spent += asyncio.run(_recognized(sent, settings, repeats))
        seen += len(sent) * repeats
    entries = len(settings.server.token_cache)
    if count <= _TRACED:
        settings, following = settings_for("HS256", 2048), (0, count)
    else:
        # More callers, so many that each entry is a new one and none escapes the tracing; what
        # a token left behind elsewhere would show too, thousands of times.
        following = (count, count + _TRACED)
    gc.collect()
    tracemalloc.start()
    try:
        asyncio.run(_recognized(_minted(*following), settings))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return spent / seen * 1e6, entries, held


async def _recognized(sent: Iterable[str], settings: JWTSettings, repeats: int = 1) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        for token in sent:
            await authenticate_token(token, settings)
    return time.perf_counter() - begun


def _minted(first: int, end: int) -> Iterator[str]:
    """Good tokens that differ in one claim, made faster than a library would."""
    header = tokens.good("HS256").partition(".")[0]
    secret, members = tokens.SECRET.encode(), tokens.claims()
    for number in range(first, end):
        payload = json.dumps(members | {"jti": str(number)}).encode()
        signing_input = f"{header}.{urlsafe_b64encode(payload).decode().rstrip('=')}"
        signature = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
        yield f"{signing_input}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


def _padded(length: int, algorithm: str) -> str:
    """A token of about that length, at most."""
    members = {name: tokens.claims()[name] for name in ("iss", "sub", "aud", "exp", "iat")}
    room = length - len(tokens.signed(members | {"pad": []}, algorithm))
    words = ["permission"] * max(0, room * 3 // 4 // len('"permission",') - 1)
    return tokens.signed(members | {"pad": words}, algorithm)


def _verification(token: str, algorithm: str) -> Slice:
    return awaits_of(partial(verify, token, settings_for(algorithm)))


def _recognition(token: str, algorithm: str) -> Slice:
    return awaits_of(partial(authenticate_token, token, settings_for(algorithm, 2048)))
