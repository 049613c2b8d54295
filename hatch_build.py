"""Fill in the project's address where PyPI needs it: `urls`, and the links of the README.

It is `address` of `[tool.hatch.metadata.hooks.custom]` in `pyproject.toml`. As long as that is
empty there are no URLs, and a link to a file of the repository is plain text on PyPI.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK_TO_FILE = re.compile(r"\[([^]\n]+)\]\((?!https?:|#)([^)\s]+)\)")


class AddressHook(MetadataHookInterface):
    """Make `readme` and `urls` of one address."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set both in the metadata of the project."""
        address = self.config["address"].rstrip("/")
        files = f"{address}/blob/v{metadata['version']}"
        link = rf"[\1]({files}/\2)" if address else r"\1"
        readme = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": _LINK_TO_FILE.sub(link, readme),
        }
        metadata["urls"] = {}
        if address:
            metadata["urls"] = {
                "Source": address,
                "Documentation": f"{files}/docs/index.md",
                "Changelog": f"{files}/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
