"""The built distribution works in an empty environment and has the right files."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from jwt_deps import __version__

ROOT = Path(__file__).parent.parent
# Asked by hand: an application server would bring packages that the wheel has to do without.
PROGRAM = """
import asyncio
from typing import Annotated
from fastapi import Depends, FastAPI
from jwt_deps import JWTSettings, current_user_id, protected_router

router = protected_router(settings=JWTSettings(secret_key="x" * 32))

@router.get("/me")
async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
    return user_id

app = FastAPI()
app.include_router(router)
sent = []

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}

async def send(message):
    sent.append(message)

scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
         "scheme": "http", "path": "/me", "raw_path": b"/me", "root_path": "",
         "query_string": b"", "headers": [(b"host", b"here")]}
asyncio.run(app(scope, receive, send))
print(sent[0]["status"], dict(sent[0]["headers"])[b"www-authenticate"].decode())
"""


def _run(*command: str | Path, cwd: Path) -> str:
    """Run a command that needs the index only for what it installs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JWT_")}
    done = subprocess.run(  # noqa: S603 - our own commands
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def _needs_index(*command: str | Path) -> str:
    """Run a command of uv and return its output; skip where packages cannot be had, and say so."""
    try:
        return _run(shutil.which("uv") or "uv", *command, cwd=ROOT)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        unreachable = isinstance(error, OSError) or any(
            sign in str(error) for sign in ("Failed to fetch", "error sending request", "dns error")
        )
        if unreachable and os.environ.get("JWT_DEPS_REQUIRE_ALL") != "1":
            pytest.skip("packages cannot be installed here: uv or its index is not there")
        raise


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that `uv build` makes of it."""
    directory = tmp_path_factory.mktemp("dist")
    _needs_index("build", "--quiet", "--out-dir", directory)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what it needs, no extras."""
    environment = tmp_path_factory.mktemp("empty") / "venv"
    _needs_index("venv", "--quiet", "--python", sys.executable, environment)
    _needs_index("pip", "install", "--quiet", "--python", environment / "bin" / "python", wheel)
    return environment / "bin" / "python"


def _names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_guards_a_route(python: Path, tmp_path: Path) -> None:
    """Without extras and without this checkout."""
    assert '401 Bearer realm="api"\n' == _run(python, "-I", "-c", PROGRAM, cwd=tmp_path)


def test_the_wheel_guards_a_route_out_of_the_archive(
    python: Path, wheel: Path, tmp_path: Path
) -> None:
    """As zipapp, pex and PyInstaller import packages: there is no folder beside a module."""
    program = f"import sys; sys.path.insert(0, {str(wheel)!r})\n{PROGRAM}"
    checked = f"{program}\nimport jwt_deps\nassert {str(wheel)!r} in jwt_deps.__file__"

    assert '401 Bearer realm="api"\n' == _run(python, "-I", "-c", checked, cwd=tmp_path)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """With its types and its licence, without tests, examples or documentation."""
    names = _names(wheel)
    tops = {name.split("/")[0] for name in names}

    assert "jwt_deps/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {"jwt_deps", "pytest_jwt_deps.py"} == {
        top for top in tops if not top.endswith(".dist-info")
    }


def test_the_wheel_has_its_entry_points(wheel: Path) -> None:
    """The command, and the plugin for pytest."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        lines = archive.read(name).decode().split("\n")

    assert "jwt-deps = jwt_deps.cli:main" in lines
    assert "pytest_jwt_deps = pytest_jwt_deps" in lines


def test_the_sdist_makes_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    """As the checkout does, byte for byte, so that others can check what was published."""
    _needs_index("build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT)

    assert wheel.read_bytes() == next(tmp_path.glob("*.whl")).read_bytes()
    assert 1 == len(list(built.glob("*.tar.gz")))


def test_a_page_that_an_error_names(wheel: Path) -> None:
    """A user of the wheel has no checkout, and no address of the documentation is needed."""
    installed = f"jwt-deps[cli] @ {wheel.as_uri()}"
    # The project's own `system-certs` is not for tools.
    command = ("tool", "run", "--quiet", "--isolated", "--system-certs", "--from", installed)

    printed = _needs_index(*command, "jwt-deps", "explain", "no_key")

    assert "There is no key to check tokens with" in printed


def _metadata(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        return archive.read(name).decode()


def test_the_readme_without_an_address(wheel: Path) -> None:
    """There is none yet, and a relative link would lead nowhere on PyPI."""
    text = _metadata(wheel)

    assert "Project-URL" not in text
    assert [] == re.findall(r"\]\((?!https?:|#)", text)


def test_the_readme_with_an_address(built: Path, tmp_path: Path) -> None:
    """Every link to a file, and `[project.urls]`, are made of the one setting."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        # Debian's Python 3.11.2 has no filters yet.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)  # noqa: S202 - it is the project's own
    (project,) = tmp_path.iterdir()
    settings = (project / "pyproject.toml").read_text()
    address = "https://code.example.com/jwt-deps"
    (project / "pyproject.toml").write_text(
        settings.replace('\naddress = ""', f'\naddress = "{address}"')
    )

    _needs_index("build", "--quiet", "--wheel", "--out-dir", tmp_path, project)

    text = _metadata(next(tmp_path.glob("*.whl")))
    assert f"Project-URL: Source, {address}\n" in text
    assert f"({address}/blob/v{__version__}/docs/settings.md)" in text
    assert [] == re.findall(r"\]\((?!https?:|#)", text)


def test_the_sdist_holds_what_a_packager_needs(built: Path) -> None:
    """Tests, documentation and the licence."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "LICENSE",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "docs/errors.md",
        "tests/conftest.py",
    } <= names


def test_the_bill_of_materials(python: Path, tmp_path: Path) -> None:
    """The command checks that it is CycloneDX; it names what is installed, and not from where."""
    bill = tmp_path / "sbom.cdx.json"
    command = ("environment", "--short-PURLs", "--output-reproducible", "--spec-version", "1.6")
    tool = Path(sys.executable).parent / "cyclonedx-py"

    _run(tool, *command, "--output-file", bill, python, cwd=tmp_path)

    components = json.loads(bill.read_text())["components"]
    assert {"fastapi", "jwt-deps", "python-jose", "cryptography"} <= {c["name"] for c in components}
    assert all("?" not in component.get("purl", "") for component in components)
