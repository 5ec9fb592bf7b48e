# SPDX-License-Identifier: GPL-2.0-or-later
"""A YAML file as plain values that remember their lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import ConfigError, Problem

Path = tuple[str | int, ...]
"""Where a value is: keys of mappings and, from 0, indices of lists."""

DEPTH_MAX = 16
SIZE_MAX = 1 << 20

# libyaml's parser where it is built in: ten times faster, and what it says is the same.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = "tag:yaml.org,2002:int"
_TEXT = "tag:yaml.org,2002:str"
_BOOLEAN = "tag:yaml.org,2002:bool"
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "bool", "float", "null", "timestamp")
)


def key_text(path: Path) -> str:
    """The path as people write it: `nat44.static[2].outside`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if part and not set(part) & set(' .:[]"') else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


@dataclass(slots=True)
class Document:
    """The values of one file, the line of each, and what was found wrong with them so far."""

    file: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _bad: set[Path] = field(default_factory=set)

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it when it is absent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, path: Path) -> str:
        return f"{self.file}:{self.line(path)}: {key_text(path)}"

    def add(self, path: Path, message: str, code: str = "config.invalid") -> None:
        self._bad.add(path)
        self.problems.append(Problem(self.file, self.line(path), key_text(path), message, code))

    def is_bad(self, path: Path) -> bool:
        """True when a problem was found with the value or with something around it."""
        return any(path[:length] in self._bad for length in range(len(path) + 1))

    def has(self, *path: str | int) -> bool:
        """Whether it is in the file, right or wrong."""
        return path in self.lines

    def get(self, *path: str | int) -> Any:
        """A value that nothing is wrong with; None when it is absent or wrong."""
        if self.is_bad(path):
            return None
        value = self.value
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def under(self, *path: str | int) -> Iterator[tuple[Path, Any]]:
        """The children of a mapping or a list, with their paths, but for the wrong ones."""
        value = self.get(*path)
        items: Any = ()
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list):
            items = enumerate(value)
        for key, child in items:
            if not self.is_bad((*path, key)):
                yield (*path, key), child


def read(text: str, file: str) -> Document:
    """Parse; ConfigError when it is no YAML at all, problems in the document for the rest."""
    if len(text) > SIZE_MAX:
        raise ConfigError([Problem(file, 0, "", "larger than 1 MiB", "config.yaml")])
    document = Document(file)
    try:
        _refuse_structure(text, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, text, file)]) from error
    if node is None:
        raise ConfigError(
            [Problem(file, 1, "", "the file is empty; it needs at least `version: 1`")]
        )
    document.lines[()] = 1
    document.value = _value(document, node, ())
    return document


def _refuse_structure(text: str, file: str) -> None:
    """Aliases and deep nesting make small files huge; nothing here needs either."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            message = "not valid here: YAML aliases (*name) are not supported"
            raise ConfigError([Problem(file, line, "", message, "config.yaml")])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise ConfigError([Problem(file, line, "", "nested too deeply", "config.yaml")])


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        details = ", ".join(part for part in (error.context, error.problem) if part)
    else:
        position = getattr(error, "position", 0) or 0
        line = text.count("\n", 0, position) + 1
        details = str(getattr(error, "reason", "") or error).splitlines()[0]
    lines = text.splitlines()
    if line <= len(lines) and re.search(r"[\s\[{]:[0-9]", lines[line - 1]):
        details += '; a value that begins with a colon needs quotes, as in ":2222"'
    return Problem(file, line, "", f"not valid YAML: {details}", "config.yaml")


def _value(document: Document, node: Any, path: Path) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if node.tag not in _TAGS:
        document.add(path, f"YAML tag {node.tag} is not supported", "config.yaml")
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, child, (*path, i)) for i, child in enumerate(node.value)]
    return _scalar(node)


def _mapping(document: Document, node: Any, path: Path) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            document.add(path, "a key is a list or a mapping, and must be text", "config.yaml")
            continue
        place = (*path, key)
        if key in answer:
            first = document.lines[place]
            message = f"given twice, first on line {first}"
            document.problems.append(
                Problem(document.file, line, key_text(place), message, "config.duplicate-key")
            )
            continue
        document.lines[place] = line
        if key_node.tag == _BOOLEAN:
            document.add(place, f"YAML reads {key} as true or false; put it in quotes")
        answer[key] = _value(document, value_node, place)
    return answer


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.tag in (_TEXT, "tag:yaml.org,2002:timestamp"):
        return text
    if node.tag == _INTEGER:
        # YAML 1.1 reads 010 as eight and 1:30 as ninety; nobody means that here.
        try:
            return int(text)
        except ValueError:
            return text
    if node.tag == _BOOLEAN:
        return text.lower() in ("true", "yes", "on")
    if node.tag.endswith(":float"):
        try:
            return float(text)
        except ValueError:
            return text
    return None
