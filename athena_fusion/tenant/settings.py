"""Reads `tenant.yaml`: environment variables expanded, every mistake with the line it stands on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from athena_fusion.tenant.model import Settings
from athena_fusion.tenant.tables import Finding

FILE = "tenant.yaml"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class SettingsFile:
    """The settings, None when the file has findings, and the line of every key."""

    settings: Settings | None
    lines: Mapping[KeyPath, int]
    findings: tuple[Finding, ...]

    def finding(self, path: KeyPath, message: str) -> Finding:
        """A finding at the line of `path`, or of the nearest key above it."""
        return Finding(FILE, _line(self.lines, path), f"{_dotted(path)} {message}")


def read_settings(data: bytes, environment: Mapping[str, str]) -> SettingsFile:
    """Parse and validate. `${NAME}` and `${NAME:-default}` are expanded inside values, the default standing
    for an unset or empty variable; a variable without either is a finding."""
    reader = _Reader(environment)
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
        values = reader.value(root, ()) if root is not None else {}
    except UnicodeDecodeError:
        return SettingsFile(None, {}, (Finding(FILE, 1, "the file is not UTF-8"),))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not YAML: {error.problem or error.context}"
        return SettingsFile(None, {}, (Finding(FILE, mark.line + 1 if mark else 1, message),))
    except yaml.YAMLError as error:
        return SettingsFile(None, {}, (Finding(FILE, 1, f"not YAML: {error}"),))
    if not isinstance(values, dict):
        return SettingsFile(None, {}, (Finding(FILE, 1, "the file holds no keys"),))
    settings = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        reader.findings.extend(_findings(error, reader))
    if reader.findings:
        settings = None
    return SettingsFile(settings, reader.lines, tuple(reader.findings))


class _Reader:
    """Turns YAML nodes into plain values, keeping the line of every key."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._scalars = yaml.constructor.SafeConstructor()
        self.lines: dict[KeyPath, int] = {}
        self.findings: list[Finding] = []
        self.unread: set[KeyPath] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if "${" in node.value:
            return self._expanded(node.value, path)
        try:
            return self._scalars.construct_object(node)
        except ValueError as error:  # a date such as 2026-02-30
            self._refuse(path, f"cannot be read ({error})")
            return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = (*path, str(key_node.value))
            if key[-1] in values:
                message = f"{_dotted(key)} is there twice (line {self.lines[key]})"
                self.findings.append(Finding(FILE, key_node.start_mark.line + 1, message))
                continue
            self.lines[key] = key_node.start_mark.line + 1
            values[str(key_node.value)] = self.value(value_node, key)
        return values

    def _expanded(self, text: str, path: KeyPath) -> str | None:
        if "${" in _VARIABLE.sub("", text):
            self._refuse(path, "has a variable that is not ${NAME} or ${NAME:-default}")
            return None
        for match in _VARIABLE.finditer(text):
            if match[2] is None and not self._environment.get(match[1]):
                self._refuse(path, f"needs the environment variable {match[1]}, which is not set")
                return None
        return _VARIABLE.sub(lambda match: self._environment.get(match[1]) or match[2] or "", text)

    def _refuse(self, path: KeyPath, message: str) -> None:
        self.findings.append(Finding(FILE, _line(self.lines, path), f"{_dotted(path)} {message}"))
        self.unread.add(path)


def _findings(error: ValidationError, reader: _Reader) -> list[Finding]:
    findings = []
    for detail in error.errors(include_url=False, include_input=False):
        path: KeyPath = tuple(part for part in detail["loc"] if part != "[key]")
        if path in reader.unread:  # told already
            continue
        match detail["type"]:
            case "missing":
                message = f"{_dotted(path)} is missing"
            case "extra_forbidden":
                message = f"{_dotted(path)} is not a known key"
            case "string_type":
                message = f"{_dotted(path)} is not text; put the value in quotes"
            case "value_error":
                message = f"{_dotted(path)} {detail['msg'].removeprefix('Value error, ')}"
            case _:
                message = f"{_dotted(path)}: {detail['msg']}"
        findings.append(Finding(FILE, _line(reader.lines, path), message))
    return findings


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)


def _line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
