"""Configuration files: YAML (or JSON, which is a part of it) to nested frozen dataclasses."""

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml

from dense_desc_ros.errors import DataError, InvalidInputError

Configuration = TypeVar("Configuration")
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def require_positive(settings: object, *names: str) -> None:
    """Raise InvalidInputError unless these attributes of the settings are above zero."""
    for name in names:
        if getattr(settings, name) <= 0:
            raise InvalidInputError(f"{name} must be positive, got {getattr(settings, name)}")


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as the number it is in YAML 1.2; in 1.1 it lacks a point and a sign."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_configuration(path: Path, kind: type[Configuration]) -> Configuration:
    """The dataclass `kind` that a file describes; its sections are fields that are dataclasses.

    Raises:
        DataError: the file cannot be read, or has a key that is unknown, missing or of the wrong
            type or value; the message names file and key.
    """
    try:
        content = yaml.load(path.read_bytes(), _Loader)  # noqa: S506, a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"cannot read configuration {path}: {error}") from error
    try:
        return cast(Configuration, _convert({} if content is None else content, kind, ""))
    except InvalidInputError as error:
        raise DataError(f"{path}: {error}") from error


def _convert(value: Any, kind: Any, key: str) -> Any:
    if is_dataclass(kind):
        return _section(value, cast(type, kind), key)
    if get_origin(kind) is types.UnionType:
        (other,) = (option for option in get_args(kind) if option is not types.NoneType)
        return None if value is None else _convert(value, other, key)
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, list) or len(value) != len(kinds):
            raise InvalidInputError(f"{key} must be a list of {len(kinds)}, got {value!r}")
        return tuple(_convert(value[i], kinds[i], f"{key}[{i}]") for i in range(len(kinds)))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InvalidInputError(f"{key} must be {NAMES[kind]}, got {value!r}")
    return value


def _section(value: Any, kind: type, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{key or 'the file'} must be a table of keys, got {value!r}")
    prefix = f"{key}." if key else ""
    known = {field.name: field for field in fields(kind)}
    if unknown := [name for name in value if name not in known]:
        expected = ", ".join(known)
        raise InvalidInputError(f"unknown key {prefix}{unknown[0]}: expected one of {expected}")
    for name, field in known.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if required and name not in value:
            raise InvalidInputError(f"key {prefix}{name} is missing")
    kinds = get_type_hints(kind)
    values = {name: _convert(v, kinds[name], f"{prefix}{name}") for name, v in value.items()}
    try:
        return kind(**values)
    except InvalidInputError as error:
        raise InvalidInputError(f"{key}: {error}" if key else str(error)) from error
