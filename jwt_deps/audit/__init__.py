"""Is every route accounted for? `audit(app)` says of each one whether it needs a token, and why.

    def test_no_route_was_forgotten():
        found = audit(app)
        assert found.ok, str(found)

`probe` asks the application itself, without a token. `compare` tells what changed since an
earlier audit. On the command line both are `jwt-deps audit`.
"""

from .comparison import compare
from .formats import as_json, as_markdown, from_json
from .probe import probe
from .report import Audit, AuditedRoute, audit
from .verdicts import Verdict

__all__ = [
    "Audit",
    "AuditedRoute",
    "Verdict",
    "as_json",
    "as_markdown",
    "audit",
    "compare",
    "from_json",
    "probe",
]
