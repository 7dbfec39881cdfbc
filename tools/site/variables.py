"""The page of all settings: the environment variables of each service, from its settings.py."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File
from outside import ROOT
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from tables import table

from chassis.settings import ServiceSettings
from shopctl import services

INTRODUCTION = """# Settings

Each service reads these environment variables; this page is made from its `settings.py`. Any `X` may be given as
`X_FILE` instead, the path of a file that holds the value. An empty variable counts as not set. A process prints one
line for each wrong or missing variable, and exits with status 1.
"""


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields the page. Raises ValueError if a setting has no meaning."""
    parts = [INTRODUCTION, "## Every service but psp", _table(ServiceSettings)]
    for name in services.load(ROOT).names:
        module = import_module(f"{name}.settings")
        parts += [f"## {name}", _table(module.Settings)]
        for other in _others(module):
            parts += [inspect.cleandoc(other.__doc__ or ""), _table(other)]
    yield File.generated(config, "reference/settings.md", content="\n\n".join(parts))


def _others(module: ModuleType) -> list[type[BaseModel]]:
    """Returns the classes of settings of a module besides `Settings`, such as those of a migration."""
    found = [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__]
    return [each for each in found if issubclass(each, BaseModel) and each is not module.Settings]


def _table(model: type[BaseModel]) -> str:
    meanings = meanings_of(model)
    common = () if model is ServiceSettings else ServiceSettings.model_fields
    rows = []
    for name, field in model.model_fields.items():
        if name in common:
            continue
        if not meanings.get(name):
            raise ValueError(f"{model.__module__}: {name} has no docstring that says what it means")
        rows.append((f"`{name.upper()}`", _type(field), _default(field), meanings[name]))
    return table(["variable", "type", "default", "meaning"], rows)


def meanings_of(model: type[BaseModel]) -> dict[str, str]:
    """Returns the docstrings of the fields of a class."""
    (body,) = (node for node in ast.parse(inspect.getsource(model)).body if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for node in pairwise(body.body):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _type(field: FieldInfo) -> str:
    parts = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in parts]
    words = {SecretStr: "secret", str: "text", int: "integer", float: "number"}
    named: list[Any] = [words.get(kind, getattr(kind, "__name__", f"`{kind}`")) for kind in kinds]
    limits = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "min_length": "length from {}"}
    rules = [
        text.format(getattr(rule, name))
        for rule in field.metadata
        for name, text in limits.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([" or ".join(named), *rules])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "–" if field.default is None else f"`{field.default}`"
