"""The cost of a verification, compared with a minimal one, without a web framework."""

from benchmarks import tokens, validators
from benchmarks.measuring import Effort, Findings, Measured, awaits_of, calls_of, take_turns
from benchmarks.per_request import in_a_loop
from benchmarks.validators import MINIMAL
from jwt_deps import JWTSettings
from jwt_deps.tokens.verify import verify

__all__ = ["OURS", "run", "settings_for"]

OURS = "jwt-deps verify"
_RAW = "floor: signature only"
_WHY = """\
Ratios to a minimal validator: three base64 segments, two `json.loads`, the signature, four checks
of claims. Libraries have their keys prepared, where they can; python-jose is given the text."""


def settings_for(algorithm: str, remembered: int = 0) -> JWTSettings:
    """Settings that check what the others check, and remember so many tokens."""
    return JWTSettings(
        secret_key=tokens.text(algorithm),
        algorithm=algorithm,
        audience=tokens.AUDIENCE,
        issuer=tokens.ISSUER,
        token_cache_size=remembered,
    )


def run(effort: Effort) -> Findings:
    """Measure every library with every algorithm."""
    measured = {algorithm: _measure(algorithm, effort) for algorithm in tokens.ALGORITHMS}
    figures = {
        f"verify/ratio/{name} {algorithm}": it.ratio
        for algorithm, found in measured.items()
        for name, it in found.items()
    }
    names = list(dict.fromkeys(name for found in measured.values() for name in found))
    heads = " | ".join(f"{algorithm} µs | ratio" for algorithm in measured)
    lines = [_WHY, "", f"| Verification | {heads} |", "|---" + "|---:" * 2 * len(measured) + "|"]
    for name in names:
        cells = (found.get(name) for found in measured.values())
        row = (f"{it.quiet:.1f} | {it.ratio:.2f}" if it else "- | -" for it in cells)
        lines.append(f"| {name} | {' | '.join(row)} |")
    return Findings("Verification alone", figures, "\n".join(lines))


def _measure(algorithm: str, effort: Effort) -> dict[str, Measured]:
    token, settings = tokens.good(algorithm), settings_for(algorithm)
    minimal = validators.complete(algorithm)[MINIMAL]
    raw = validators.signature_only(algorithm)
    contestants = {
        _RAW: calls_of(lambda: raw(token)),
        OURS: awaits_of(lambda: verify(token, settings)),
    }
    for name, check in validators.libraries(algorithm):
        contestants[name] = calls_of(lambda check=check: check(token))  # type: ignore[misc]
    return in_a_loop(take_turns(calls_of(lambda: minimal(token)), contestants, effort))
