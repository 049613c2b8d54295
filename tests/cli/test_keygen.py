"""`jwt-deps keygen`: keys that services accept, in files that only their owner reads."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jose import jwk as jose_jwk
from typer.testing import CliRunner, Result

from jwt_deps import JWTSettings
from jwt_deps.cli.app import main
from jwt_deps.jose import thumbprint
from tests.minting import KeyPair, claims, clock, mint
from tests.verifying import verify

KINDS = [
    pytest.param(["rsa"], "RS256", id="rsa"),
    pytest.param(["rsa", "--algorithm", "PS384"], "PS384", id="rsa-pss"),
    pytest.param(["ec"], "ES256", id="p-256"),
    pytest.param(["ec", "--curve", "P-384"], "ES384", id="p-384"),
    pytest.param(["ec", "--curve", "P-521"], "ES512", id="p-521"),
    pytest.param(["ed25519"], "EdDSA", id="eddsa"),
    pytest.param(["ed25519", "--algorithm", "Ed25519"], "Ed25519", id="ed25519"),
]


def keygen(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["keygen", *arguments])


def private_in(folder: Path) -> KeyPair:
    """The private key of a folder, as the tests sign with it."""
    key: Any = load_pem_private_key((folder / "private.pem").read_bytes(), None)
    return KeyPair(key)


@pytest.mark.parametrize(("arguments", "algorithm"), KINDS)
def test_key_pair(arguments: list[str], algorithm: str, tmp_path: Path) -> None:
    """What the private key signs, a service with either public file accepts, by its name."""
    result = keygen(*arguments, "--out", str(tmp_path))
    (entry,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    by_name = JWTSettings(algorithm=algorithm, jwks_file=tmp_path / "jwks.json")
    by_pem = JWTSettings(algorithm=algorithm, secret_key=(tmp_path / "public.pem").read_text())
    header = {"kid": thumbprint(entry)}

    token = mint(claims(), private_in(tmp_path), algorithm, header=header)

    assert (0, "") == (result.exit_code, result.stdout)
    assert f"kid {thumbprint(entry)}, algorithm {algorithm}\n" in result.stderr
    assert "PRIVATE KEY" not in result.stderr
    assert "alice" == verify(token, by_name, clock=clock)["sub"]
    assert "alice" == verify(token, by_pem, clock=clock)["sub"]


def test_files(tmp_path: Path) -> None:
    """Three in a new folder; only the private one has mode 0600, the others can be published."""
    folder = tmp_path / "some" / "keys"

    keygen("rsa", "--out", str(folder))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {"private.pem", "public.pem", "jwks.json"} == set(modes)
    assert 0o600 == modes["private.pem"]
    (entry,) = json.loads((folder / "jwks.json").read_text())["keys"]
    assert {"kty", "n", "e", "kid", "use", "alg"} == entry.keys()
    assert "PRIVATE" not in (folder / "public.pem").read_text()


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_private_key_as_a_jwk(kind: str, tmp_path: Path) -> None:
    """The private JWK has the public members and those that sign, and its file the mode 0600."""
    keygen(kind, "--format", "jwk", "--out", str(tmp_path))
    path = tmp_path / "private.jwk.json"

    private = json.loads(path.read_text())
    (public,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    expected = {"d", "p", "q", "dp", "dq", "qi"} if kind == "rsa" else {"d"}

    assert expected == private.keys() - public.keys()
    assert public == {name: private[name] for name in public}
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("arguments", "algorithm"),
    [pytest.param(["rsa"], "RS256", id="rsa"), pytest.param(["ec"], "ES256", id="ec")],
)
def test_private_jwk_signs(arguments: list[str], algorithm: str, tmp_path: Path) -> None:
    """An implementation of others signs with it, and the public half checks that."""
    keygen(*arguments, "--format", "jwk", "--out", str(tmp_path))
    private = jose_jwk.construct(json.loads((tmp_path / "private.jwk.json").read_text()))
    (public,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]

    assert jose_jwk.construct(public).verify(b"message", private.sign(b"message"))
    assert algorithm == public["alg"]


def test_size_of_rsa(tmp_path: Path) -> None:
    """An RSA key has the bits that were asked for."""
    keygen("rsa", "--bits", "3072", "--out", str(tmp_path))
    private = private_in(tmp_path).private

    assert isinstance(private, rsa.RSAPrivateKey)
    assert 3072 == private.key_size


def test_weak_rsa(tmp_path: Path) -> None:
    """No key is made that RFC 7518 forbids."""
    result = keygen("rsa", "--bits", "1024", "--out", str(tmp_path))

    assert 2 == result.exit_code
    assert [] == list(tmp_path.iterdir())


def test_name_of_ones_own(tmp_path: Path) -> None:
    """The key is called what it is told to be called."""
    keygen("ed25519", "--kid", "2026-05", "--out", str(tmp_path))

    (entry,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert "2026-05" == entry["kid"]


def test_private_key_on_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--out -` prints the private key alone and writes no file."""
    monkeypatch.chdir(tmp_path)

    result = keygen("ec", "--out", "-")

    assert result.stdout.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert result.stdout.endswith("-----END PRIVATE KEY-----\n")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("present", ["private.pem", "public.pem", "jwks.json"])
def test_files_that_are_there_stay(present: str, tmp_path: Path) -> None:
    """No file is replaced, and none is written beside it."""
    (tmp_path / present).write_text("mine")

    result = keygen("ec", "--out", str(tmp_path))

    assert 2 == result.exit_code
    assert f"{tmp_path / present} exists: choose another directory" in result.stderr
    assert [present] == [path.name for path in tmp_path.iterdir()]
    assert "mine" == (tmp_path / present).read_text()


def test_force(tmp_path: Path) -> None:
    """`--force` replaces files, and what a link points to is left alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "private.pem").symlink_to(elsewhere)

    result = keygen("ec", "--out", str(folder), "--force")

    assert 0 == result.exit_code
    assert "mine" == elsewhere.read_text()
    assert "BEGIN PRIVATE KEY" in (folder / "private.pem").read_text()
    assert 0o600 == stat.S_IMODE((folder / "private.pem").lstat().st_mode)


def test_link_to_nowhere(tmp_path: Path) -> None:
    """A link is a file that is there, whatever it points to."""
    (tmp_path / "private.pem").symlink_to(tmp_path / "nowhere")

    result = keygen("ec", "--out", str(tmp_path))

    assert 2 == result.exit_code
    assert not (tmp_path / "nowhere").exists()


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A directory that cannot be is a sentence."""
    (tmp_path / "file").write_text("")

    result = keygen("ec", "--out", str(tmp_path / "file" / "keys"))

    assert 2 == result.exit_code
    assert f"Error: {tmp_path}/file/keys cannot be written: Not a directory.\n" == result.stderr


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_secret(algorithm: str) -> None:
    """A secret is one line, and strong enough for every HS algorithm."""
    result = keygen("secret")
    secret = result.stdout.removesuffix("\n")
    settings = JWTSettings(secret_key=secret, algorithm=algorithm)

    assert (0, "") == (result.exit_code, result.stderr)
    assert "alice" == verify(mint(claims(), secret, algorithm), settings, clock=clock)["sub"]


def test_secret_for_a_file() -> None:
    """`--env` prints the line of an .env file, with another secret each time."""
    one, other = (keygen("secret", "--env").stdout for _ in range(2))

    assert one.startswith("JWT_SECRET_KEY=")
    assert one != other
