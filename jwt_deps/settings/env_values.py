"""Parsing of environment values: lists as JSON or with commas, prefixes, errors without values."""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsError,
)

from jwt_deps.errors import ConfigurationError

logger = logging.getLogger("jwt_deps")

#: Secrets that a variable with `_FILE` behind its name gives as a file, which is read once.
#: `secret_key_file` is a setting of its own, and read again.
_SECRETS = (
    "dpop_nonce_keys",
    "dpop_replay_store",
    "jwks_headers",
    "revocation_url",
    "verification_keys",
)

#: What a header or a cookie can be called (RFC 9110 §5.6.2).
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What the variables begin with, unless `_env_prefix` says otherwise.
PREFIX = "JWT_"
# `JWT_DEPS_*` is for the package's own tests and tools.
_RESERVED = "DEPS_"
# Members of settings that are models themselves, which refuse those that do not exist; and headers.
_NESTED = ("ISSUERS__", "JWKS_CACHE__", "JWKS_HEADERS__")
# As JSON, these can have variables for further members: pydantic-settings puts them into it.
_MERGED = ("ISSUERS", "JWKS_CACHE")


def _json_list(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            # `from None`: the parser's error holds the text, which may be a secret.
            raise ValueError("begins like a JSON array and is not one") from None
    return value


def _one_or_several(value: Any) -> Any:
    """`"a"` stays one name; `"a,b"` and `'["a", "b"]'` become a list, as environments have it."""
    value = _json_list(value)
    if isinstance(value, str) and "," in value:
        return [part.strip() for part in value.split(",")]
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return value


def _several(value: Any) -> Any:
    value = _one_or_several(value)
    if isinstance(value, str):
        return [value] if value else []
    return value


def _given(value: Any) -> Any:
    """Refuse an empty variable, which must not switch a check off: `JWT_REQUIRED_CLAIMS=$UNSET`."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ValueError("is empty: give it a value or leave it unset")
    return value.strip()


def _several_secrets(value: Any) -> Any:
    """As `_several`, but a comma can be part of a secret."""
    value = _json_list(value)
    return [value] if isinstance(value, str | SecretStr) else value


OneOrSeveral = Annotated[str | list[str], NoDecode, BeforeValidator(_one_or_several)]
NoneOrSeveral = Annotated[str | list[str] | None, NoDecode, BeforeValidator(_one_or_several)]
Several = Annotated[list[str], NoDecode, BeforeValidator(_several)]
#: Where none of them loosens a check: only an empty list says so.
GivenSeveral = Annotated[Several, BeforeValidator(_given)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_several_secrets)]


def sentence(error: ValidationError | SettingsError, known: Collection[str] = ()) -> str:
    """Say what is wrong with which setting, without a value: it may be a secret."""
    if isinstance(error, SettingsError):
        return f"The environment cannot be read: {str(error).splitlines()[0]}."
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown setting" + _near(name, known, " (do you mean {}?)")
        label = f"JWT_{name.upper()} ({name})" if name else "settings"
        part = f"{label}: {message}"
        if part not in parts:
            parts.append(part)
    return "; ".join(parts) + "."


def as_tuple(value: str | list[str] | None) -> tuple[str, ...]:
    """One, several or none, as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


class _Missing:
    """A descriptor that reports its attribute as missing from the class."""

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError


class _WithoutMethod:
    # The field `validate` has the name of a deprecated classmethod of BaseModel. pydantic 2.9 to
    # 2.11 takes that method for the field's default in every subclass, and all versions warn about
    # the name. This class precedes BaseModel, so pydantic finds no such attribute.
    validate = _Missing()


class EnvironmentSettings(_WithoutMethod, BaseSettings):
    """Settings that can have a field called `validate`, and whose errors name their variables."""

    _prefix: str = PrivateAttr(default=PREFIX)

    def __init__(self, **values: Any) -> None:
        given = values.get("_env_prefix")
        prefix: str = self.model_config.get("env_prefix", "") if given is None else given
        fields = type(self).model_fields
        known = {*fields, *(f"{name}_file" for name in _SECRETS)}
        in_file = _variables_in_file(type(self), values)
        in_folder = _secret_files(type(self), values)
        for names in (os.environ, in_file, in_folder):
            _refuse_two_spellings(_settings_among(names, prefix, known))
        for variables in (os.environ, in_file):
            _refuse_lost_members(variables, _settings_among(variables, prefix, known), prefix)
        _refuse_without_value(in_file, _settings_among(in_file, prefix, known))
        _refuse_folders(in_folder, _settings_among(in_folder, prefix, known))
        unknown = [
            *_unknown_variables((*os.environ, *in_file), prefix, known, _NESTED),
            *_unknown_variables(in_folder, prefix, fields),
        ]
        for warning in unknown:
            logger.warning(warning)
        for name, value in values.items():
            if isinstance(value, Mapping):
                # Not a dict, which pydantic-settings would merge with the environment's.
                values[name] = MappingProxyType(dict(value))
        # pydantic-settings would not read `JWT_AUDIENCE` as `audience`, and say nothing.
        values["_case_sensitive"] = False
        problem = None
        try:
            super().__init__(**values)
        except SettingsError as error:
            problem = ConfigurationError("invalid_setting", sentence(error))
        except ConfigurationError as error:
            problem = with_prefix(error, prefix)
        if problem is not None:  # raised out here, because the caught error may hold a secret
            if unknown:
                problem = ConfigurationError(problem.reason, " ".join([problem.message, *unknown]))
            # The sentence says all; the frames of pydantic and of the keys would bury the line that
            # makes the settings.
            raise problem.with_traceback(None)
        self._prefix = prefix

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read of a `.env` file what is a setting here: it has other programs' variables too."""

        def own_variables() -> dict[str, Any]:
            fields = settings_cls.model_fields
            return {name: value for name, value in dotenv_settings().items() if name in fields}

        # Any callable is a source, which the type does not say.
        own = cast("PydanticBaseSettingsSource", own_variables)
        environment = cast("EnvSettingsSource", env_settings)
        prefix, variables = environment.env_prefix, environment.env_vars
        of_file = cast("DotEnvSettingsSource", dotenv_settings).env_vars
        read = partial(_from_files, {**of_file, **variables}, prefix)
        files = cast("PydanticBaseSettingsSource", read)
        # With no variable, pydantic-settings would take as long to look for each field as with all.
        has_aliases = any(it.validation_alias for it in settings_cls.model_fields.values())
        has_some = has_aliases or any(it.upper().startswith(prefix.upper()) for it in variables)
        in_environment = (env_settings,) if has_some else ()
        in_file = (own,) if of_file else ()
        return init_settings, files, *in_environment, *in_file, file_secret_settings

    @cached_property
    def env_prefix(self) -> str:
        """What the variables of these settings begin with: `JWT_`."""
        return self._prefix


def _variables_in_file(
    kind: type[BaseSettings], values: Mapping[str, Any]
) -> Mapping[str, str | None]:
    """The variables in a `.env` file, as they are spelt there."""
    env_file = values.get("_env_file", kind.model_config.get("env_file"))
    if not env_file:
        return {}
    encoding, found = values.get("_env_file_encoding"), None
    with suppress(UnicodeDecodeError):  # which holds what was read
        found = DotEnvSettingsSource(
            kind, env_file=env_file, env_file_encoding=encoding, case_sensitive=True
        ).env_vars
    if found is None:
        raise ConfigurationError(
            "invalid_setting",
            "The file of variables is not text in its encoding, UTF-8 unless _env_file_encoding "
            "says otherwise.",
        )
    return found


def _secret_files(kind: type[BaseSettings], values: Mapping[str, Any]) -> dict[str, Path]:
    """The files in `_secrets_dir` by their names, and what else is in there."""
    given = values.get("_secrets_dir") or kind.model_config.get("secrets_dir") or ()
    folders = [given] if isinstance(given, str | Path) else given
    paths = (Path(folder).expanduser() for folder in folders)
    return {file.name: file for path in paths if path.is_dir() for file in path.iterdir()}


def _from_files(variables: Mapping[str, str | None], prefix: str) -> dict[str, Any]:
    """The secrets in files that variables name, as Docker and Kubernetes mount them."""
    found = {}
    for name in _SECRETS:
        variable = f"{prefix}{name}".lower()
        path = variables.get(f"{variable}_file")
        if path is None:
            continue
        if variable in variables:
            raise two_secrets(name)
        found[name] = read_secret(Path(path), name)
    return found


def two_secrets(name: str) -> ConfigurationError:
    """The error for a secret that is given twice."""
    return ConfigurationError(
        "two_secrets",
        f"JWT_{name.upper()} ({name}) and JWT_{name.upper()}_FILE exclude each other.",
    )


def read_secret(path: Path, name: str) -> str:
    """Read a secret from a file, without the line break that `echo` puts at its end."""
    problem: str | None = "it is empty"
    try:
        if text := path.read_text("utf-8").rstrip("\r\n"):
            return text
    except OSError as error:
        problem = error.strerror
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    # Out here: the caught errors hold what was read, or a secret in place of the path.
    raise ConfigurationError("secret_file", f"JWT_{name.upper()}_FILE cannot be read: {problem}.")


def is_variable(name: str, prefix: str = PREFIX) -> bool:
    """Whether an environment variable looks like a setting of this package."""
    begins = bool(prefix) and name.upper().startswith(prefix.upper())
    return begins and not name[len(prefix) :].upper().startswith(_RESERVED)


def _settings_among(names: Iterable[str], prefix: str, known: Collection[str]) -> list[str]:
    """Those of some variables that are settings, as they are spelt; not another program's."""
    members = {name.upper() for name in known}

    def is_setting(name: str) -> bool:
        begin, member = name[: len(prefix)].upper(), name[len(prefix) :].upper()
        return begin == prefix.upper() and (member in members or member.startswith(_NESTED))

    return [name for name in names if is_setting(name)]


def _refuse_two_spellings(names: Iterable[str]) -> None:
    """Refuse a setting in upper and in lower case, of which one of both would count."""
    for name, times in Counter(name.upper() for name in {*names}).items():
        if times > 1:
            raise ConfigurationError(
                "invalid_setting", f"{name} is set in upper and in lower case: leave one of them."
            )


def _refuse_without_value(variables: Mapping[str, str | None], names: Iterable[str]) -> None:
    """Refuse a setting without `=` in a file, as an empty one: it must not switch a check off."""
    elsewhere = {name.upper() for name in os.environ}
    for name in names:
        if variables[name] is None and name.upper() not in elsewhere:
            raise ConfigurationError(
                "invalid_setting", f"{name.upper()} has no = behind it in the file of variables."
            )


def _refuse_folders(files: Mapping[str, Path], names: Iterable[str]) -> None:
    """Refuse a folder in the place of a secret: Docker makes one where the file is not there."""
    for name in names:
        if files[name].is_dir():
            raise ConfigurationError(
                "invalid_setting", f"{name.upper()} is a folder in _secrets_dir, and has no value."
            )


def _refuse_lost_members(
    variables: Mapping[str, str | None], names: Iterable[str], prefix: str
) -> None:
    """Refuse settings as JSON of which a member, or a variable for one, would not count."""
    given = {name.upper(): variables[name] or "" for name in names}
    for name, text in given.items():
        if _has_member_twice(text):
            raise ConfigurationError(
                "invalid_setting",
                f"{name} is JSON that has one member twice, of which the last would count: leave "
                "one of them.",
            )
        above, divider, _ = name.rpartition("__")
        while divider:
            if above in given and above[len(prefix) :] not in _MERGED:
                raise ConfigurationError(
                    "invalid_setting",
                    f"{above} is set, and {name} too, which may not count: put all members of "
                    "one into JSON, or each into a variable.",
                )
            above, divider, _ = above.rpartition("__")


def _has_member_twice(text: str) -> bool:
    """Whether a text is a JSON object that has a name twice, or an object in it has."""
    is_twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_twice
        is_twice = is_twice or len({name for name, _ in pairs}) < len(pairs)

    if text.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):  # where it is read, the error says so
            json.loads(text, object_pairs_hook=look)
    return is_twice


def _unknown_variables(
    names: Iterable[str], prefix: str, known: Collection[str], nested: tuple[str, ...] = ()
) -> list[str]:
    """A sentence for each variable that looks like a setting and is not one."""
    members = [name.upper() for name in known]
    found = []
    for name in sorted({name.upper() for name in names if is_variable(name, prefix)}):
        begin, member = name[: len(prefix)], name[len(prefix) :]
        if member not in members and not member.startswith(nested):
            near = _near(member, members, f": do you mean {begin}{{}}?") or "."
            for outer in nested:
                if member.startswith(outer[:-1]):
                    near = f": do you mean {begin}{outer}..., with two underscores?"
            found.append(f"{name} is set, and is not a setting of jwt-deps{near}")
    return found


def _near(name: str, known: Collection[str], question: str) -> str:
    """Ask whether the known name that is most like this one is meant, if there is one."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where a name is misspelt

    return "".join(question.format(it) for it in get_close_matches(name, known, n=1))


def with_prefix(error: ConfigurationError, prefix: str) -> ConfigurationError:
    """The same error, which names variables with this prefix."""
    if prefix == PREFIX:
        return error
    return ConfigurationError(error.reason, error.message.replace(PREFIX, prefix))
