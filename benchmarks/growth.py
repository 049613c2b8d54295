"""Time and memory by the number of tokens, keys, issuers, callers, routes and exclusions."""

from benchmarks import growth_applications, growth_tokens
from benchmarks.measuring import Effort, Findings

__all__ = ["run"]

_STEPS = (
    growth_tokens.size,
    growth_tokens.keys,
    growth_tokens.issuers,
    growth_tokens.distinct,
    growth_applications.routes,
    growth_applications.exclusions,
    growth_applications.start_up,
    growth_applications.openapi,
)


def run(effort: Effort) -> Findings:
    """Measure every kind of growth."""
    figures: dict[str, float] = {}
    parts: list[str] = []
    for step in _STEPS:
        found = step(effort)
        figures |= {f"growth/{name}": value for name, value in found.figures.items()}
        parts += [f"**{found.title}**", "", found.markdown, ""]
    return Findings("Growth", figures, "\n".join(parts).rstrip())
