"""Draw the table as bars in SVG.

A picture in a page cannot know which theme the page is in, so its colours are of middle
lightness: they can be read on white and on black.
"""

from collections.abc import Iterator
from html import escape

from benchmarks.contestants import NOOP
from benchmarks.peers import PEERS
from benchmarks.targets import Figures
from benchmarks.validators import MINIMAL

__all__ = ["alternative", "bars", "svg"]

_TEXT, _OURS, _FLOOR, _OTHERS = "#767676", "#2f81f7", "#8a8a8a", "#c0792a"
_OURS_SHOWN = ("token seen before", "new token")
_BY_HAND = "by hand: joserfc"
_ROW, _LEFT, _WIDTH, _RIGHT, _TOP = 22, 270, 430, 60, 34


def bars(figures: Figures) -> list[tuple[str, float, str]]:
    """What is shown: name, microseconds added, colour; those that were measured, by length."""
    found = [
        (name, figures[f"requests/added/{key}"], colour)
        for name, key, colour in _wanted()
        if f"requests/added/{key}" in figures
    ]
    return sorted(found, key=lambda bar: bar[1])


def _wanted() -> Iterator[tuple[str, str, str]]:
    yield NOOP, NOOP, _FLOOR
    for algorithm in ("HS256", "RS256"):
        yield f"{MINIMAL} {algorithm}", f"{MINIMAL} {algorithm}", _FLOOR
        yield f"{_BY_HAND} {algorithm}", f"{_BY_HAND} {algorithm}", _OTHERS
        for what in _OURS_SHOWN:
            name = f"jwt-deps: {what} {algorithm}"
            yield name, name, _OURS
        for _, peer, algorithms, _ in PEERS:
            if algorithm in algorithms:
                yield f"{peer} {algorithm}", f"{peer} {algorithm}", _OTHERS


def svg(figures: Figures) -> str:
    """Bars of the microseconds that a request costs more than on a bare route."""
    shown = bars(figures)
    height, width = _TOP + _ROW * len(shown) + 8, _LEFT + _WIDTH + _RIGHT
    longest = max((value for _, value, _ in shown), default=1.0)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-labelledby="title" '
            'font-family="system-ui, sans-serif" font-size="12">'
        ),
        f'<title id="title">{escape(alternative(figures))}</title>',
        (
            f'<text x="{_LEFT}" y="20" fill="{_TEXT}">µs that a request costs more than on a bare '
            "FastAPI route, in process</text>"
        ),
    ]
    for number, (name, value, colour) in enumerate(shown):
        y = _TOP + _ROW * number
        length = max(1.0, value / longest * _WIDTH)
        weight = ' font-weight="bold"' if colour == _OURS else ""
        end, bar = f"{_LEFT + length + 6:.1f}", f'y="{y + 4}" height="{_ROW - 8}" rx="2"'
        lines += [
            f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end" fill="{_TEXT}"{weight}>',
            f"{escape(name)}</text>",
            f'<rect x="{_LEFT}" width="{length:.1f}" {bar} fill="{colour}"/>',
            f'<text x="{end}" y="{y + 15}" fill="{_TEXT}">{value:.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def alternative(figures: Figures) -> str:
    """The picture in words."""
    said = ", ".join(f"{name} {value:.0f}" for name, value, _ in bars(figures))
    return f"Microseconds that a request costs more than on a bare FastAPI route: {said}."
