"""List the routes of an application, and for each whether it needs a token, and why.

    def test_every_route():
        found = audit(app)
        assert found.ok, str(found)

`probe` also sends requests without a token. `compare` returns the changes since an earlier audit.
`jwt-deps audit` does both on the command line.
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
