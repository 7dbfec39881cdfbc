"""JSON Schemas for kinds of chart values, which the API or a service would otherwise refuse during an upgrade."""

from typing import Any

# Helm prints the pattern in its error for an invalid value, so patterns are short enough to read.
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?"
_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_NAME = r"[a-z0-9]+((\.|-+)[a-z0-9]+)*"
_WORD = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_QUALIFIED = rf"({_NAME}/)?{_WORD}"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"


def _texts(key: str, **rule: Any) -> dict[str, Any]:
    """Returns the schema of a mapping to text, which `--set` may have parsed as another type."""
    text = {"type": ["string", "boolean", "number", "null"], **rule}
    return {"type": "object", "patternProperties": {f"^{key}$": text}, "additionalProperties": False}


def _text(pattern: str, **rule: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^({pattern})$", **rule}


_AMOUNTS = _texts(
    rf"(cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+|{_NAME}/{_WORD})",
    type=["string", "number"],
    pattern=r"^[0-9]+(\.[0-9]+)?(m|k|[MGTP]|[KMGTP]i)?$",
    minimum=0,
)

KINDS: dict[str, dict[str, Any]] = {
    "url": _text(rf"https?://{_HOST}(/[^ ?#]*)?"),
    "url of keys": _text(rf"https?://{_HOST}/([^ ?#]*/)?\.well-known/[^ ?#]*"),
    "host and port": _text(rf"{_HOST}"),
    "share": {"type": ["string", "number"], "pattern": r"^(0(\.[0-9]+)?|1(\.0+)?)?$", "minimum": 0, "maximum": 1},
    "count": {"type": ["string", "integer"], "pattern": "^([1-9][0-9]*)?$", "minimum": 1},
    "switch": {"type": ["string", "integer"], "pattern": "^1?$", "minimum": 0, "maximum": 1},
    "registry": _text(rf"[a-z0-9.-]+(:[0-9]{{1,5}})?(/{_PATH})*"),
    "repository": _text(rf"([a-z0-9.-]+(:[0-9]{{1,5}})?/)?{_PATH}(/{_PATH})*"),
    "tag": _text(r"|[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"),
    "digest": _text(r"sha256:[0-9a-f]{64}"),
    "name": _text(_NAME, maxLength=253),
    "size": _text(r"[1-9][0-9]*(\.[0-9]+)?(k|[MGTP]|[KMGTP]i)"),
    "network": _text(
        rf"({_BYTE}\.){{3}}{_BYTE}(/(3[0-2]|[12]?[0-9]))?"
        r"|[0-9A-Fa-f]*:[0-9A-Fa-f:]*(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
    ),
    "schedule": _text("@(yearly|monthly|weekly|daily|hourly)|[0-9A-Z*/,-]+( [0-9A-Z*/,-]+){4}"),
    "email": _text(
        rf"|{_ATOM}(\.{_ATOM})*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?"
    ),
    "key of a Secret": {
        "type": "object",
        "properties": {"name": _text(rf"|{_NAME}"), "key": _text(r"|[A-Za-z0-9._-]+")},
        "additionalProperties": False,
    },
    "set of resources": _AMOUNTS,
    "choice of resources": {
        "type": "object",
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
        "additionalProperties": False,
    },
    "set of annotations": _texts(_QUALIFIED),
    "set of labels": _texts(_QUALIFIED, pattern=f"^({_WORD})?$", minimum=0),
    "set of external labels": _texts("[A-Za-z_][A-Za-z0-9_]*", type="string"),
    "toleration": {
        "type": "object",
        "properties": {
            "key": _text(rf"|{_QUALIFIED}"),
            "operator": {"enum": ["Exists", "Equal"]},
            "value": _text(f"|{_WORD}"),
            "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            "tolerationSeconds": {"type": "integer"},
        },
        "additionalProperties": False,
    },
    "load balancer": _text(_QUALIFIED),
    "variable": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$"},
            "value": {"type": ["string", "boolean", "number"]},
            "valueFrom": {"type": "object"},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
}
