"""Markdown tables, and JSON Schemas as such tables."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

DEEPEST = 4
"""How many objects inside one another a table shows; a schema may contain itself."""

LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "minLength": "length from {}",
    "maxLength": "length up to {}",
    "minItems": "items from {}",
    "maxItems": "items up to {}",
    "pattern": "like `{}`",
    "const": "`{}`",
    "default": "default `{}`",
}


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a table; a cell may contain any text without a line break."""
    lines = [[*columns], ["---" for _ in columns], *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def of_schema(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Returns the fields of a JSON Schema as a table. `schemas` are those to which its references lead, by name."""
    fields = [*_fields(schema, schemas, "", DEEPEST)]
    if not fields:
        return f"{kind(schema, schemas)}\n"
    if any(meaning for _, _, meaning in fields):
        return table(["field", "type", "meaning"], fields)
    return table(["field", "type"], (field[:2] for field in fields))


def kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Describes the values of a schema in a few words."""
    schema = resolved(schema, schemas)
    if found := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(kind(each, schemas) for each in found))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        words = [f"list of {kind(schema.get('items', {}), schemas)}"]
    else:
        words = [str(schema.get("format") or schema.get("type") or "any")]
    return ", ".join(words + [text.format(schema[name]) for name, text in LIMITS.items() if name in schema])


def resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the schema to which a reference leads."""
    return resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas) if "$ref" in schema else schema


def _fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], path: str, depth: int
) -> Iterator[tuple[str, str, str]]:
    schema = resolved(schema, schemas)
    if schema.get("type") == "array":
        yield from _fields(schema.get("items", {}), schemas, f"{path}[]", depth)
    for name, below in schema.get("properties", {}).items() if depth else ():
        inner = f"{path}.{name}".lstrip(".")
        needed = "" if name in schema.get("required", ()) else "optional; "
        meaning = " ".join(str(resolved(below, schemas).get("description", "")).split())
        yield f"`{inner}`", needed + kind(below, schemas), meaning
        yield from _fields(below, schemas, inner, depth - 1)
