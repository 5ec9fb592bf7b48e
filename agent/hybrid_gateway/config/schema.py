# SPDX-License-Identifier: GPL-2.0-or-later
"""The published JSON Schema, and its complaints in plain words."""

import difflib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from .document import Document, Path

SCHEMA_FILE = FilePath(__file__).parent.parent / "schema.json"

_TYPE_NAMES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@cache
def schema() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return answer


def check(document: Document, skip: set[Path]) -> None:
    """Add a problem for everything that the schema does not allow, except under `skip`."""
    # Imported here because it costs 70 ms and 14 MB, which gwctl need not pay.
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    for error in validator.iter_errors(document.value):
        path = tuple(error.absolute_path)
        for place, message, code in _explain(error, path):
            if not any(place[: len(known)] == known for known in skip) and not document.is_bad(
                place
            ):
                document.add(place, message, code)


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean …?` when one of the choices looks like it, else nothing."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def shown(value: Any) -> str:
    """A value of the file in a message, short."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping (key: value)"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + '..."'


def _explain(error: Any, path: Path) -> list[tuple[Path, str, str]]:
    """(path, message, code) for one complaint of the validator; one may stand for several."""
    keyword, wanted, value = error.validator, error.validator_value, error.instance
    if keyword == "additionalProperties":
        known = error.schema.get("properties", {})
        return [
            ((*path, key), f"unknown key{nearest(key, known)}", "config.unknown-key")
            for key in value
            if key not in known
        ]
    if keyword == "required":
        return [
            ((*path, key), "required, but missing", "config.missing-key")
            for key in wanted
            if key not in value and repr(key) in error.message
        ]
    if "propertyNames" in error.absolute_schema_path:
        return [((*path, value), f"{shown(value)} is not {_wanted(error)}", "config.invalid")]
    if _without_protocol(error) and ":" in str(value):
        message = "an address with a port needs `protocol: tcp` or `protocol: udp`"
        return [(path, message, "config.missing-key")]
    return [(path, _message(keyword, wanted, value, error), "config.invalid")]


def _without_protocol(error: Any) -> bool:
    """Whether it is about an entry of `static` that has none, and so is taken for 1:1."""
    places = list(error.absolute_schema_path)
    return "else" in places and "then" not in places


def _message(keyword: str, wanted: Any, value: Any, error: Any) -> str:
    if error.schema.get("writeOnly"):
        # A secret: messages go to logs and to whoever asks for the status.
        return f"must be {_wanted(error)}"
    if keyword == "type":
        expected = _TYPE_NAMES[wanted] if isinstance(wanted, str) else _wanted(error)
        return f"must be {expected}, not {shown(value)}"
    if keyword == "enum":
        choices = [str(choice) for choice in wanted]
        hint = nearest(value, choices) if isinstance(value, str) else ""
        return f"must be {' or '.join(choices)}, not {shown(value)}{hint}"
    if keyword == "const":
        expected = wanted if isinstance(wanted, str) else shown(wanted)
        return f"must be {expected}, not {shown(value)}"
    if keyword in ("minimum", "maximum"):
        low, high = error.schema.get("minimum"), error.schema.get("maximum")
        return f"must be from {low} to {high}, not {value}"
    if keyword == "uniqueItems":
        twice = next(item for item in value if value.count(item) > 1)
        return f"has {shown(twice)} twice"
    if keyword in ("minItems", "minProperties"):
        return "must not be empty"
    if keyword in ("maxItems", "maxProperties"):
        return f"has {len(value)} entries, and may have {wanted}"
    return f"must be {_wanted(error)}, not {shown(value)}"


def _wanted(error: Any) -> str:
    return str(error.schema.get("description", error.validator_value))
