"""Where code, checks, contracts and documents name a service."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from places import Place, Shop, add
from shopctl import derived
from shopctl.services import RESERVED, Declaration

PYPROJECT, LOCK = "pyproject.toml", "requirements/services.in"
HTTP, MESSAGES = "tests/contracts/http.yaml", "tests/contracts/messages.yaml"
ARCHITECTURE, README = "docs/architecture.md", "README.md"


def folder(shop: Shop, service: Declaration) -> Iterator[str]:
    name = service.name
    wanted = ["Dockerfile", "README.md", f"src/{name}/__init__.py", f"src/{name}/main.py"]
    wanted += [f"src/{name}/migrations"] if "postgres" in service.stores else []
    wanted += [f"src/{name}/messages.py"] if service.publishes or service.consumes else []
    wanted += [f"src/{name}/consumers.py"] if service.consumes else []
    for file in wanted:
        if not (shop.root / "services" / name / file).exists():
            yield f"services/{name}/{file}: missing; `make new-service` makes one, and services/order has an example"


def checks(shop: Shop, service: Declaration) -> Iterator[str]:
    """The paths of mypy and the contracts of import-linter."""
    name, tool = service.name, tomllib.loads(shop.read(PYPROJECT))["tool"]
    if f"services/{name}/src" not in tool["mypy"]["mypy_path"].split(":"):
        yield add(
            PYPROJECT, f"mypy does not find {name}", f"services/{name}/src", to="tool.mypy.mypy_path, after a colon"
        )
    if name not in tool["importlinter"]["root_packages"]:
        yield add(PYPROJECT, f"import-linter does not know {name}", f'"{name}"', to="tool.importlinter.root_packages")
    for contract in tool["importlinter"]["contracts"]:
        for key in ("modules", "containers", "forbidden_modules"):
            listed = contract.get(key, [])
            if len({*shop.services.names} & {*listed}) > 1 and name not in listed:
                yield add(PYPROJECT, f"{contract['name']!r} leaves {name} out", f'"{name}"', to=f"its {key}")


def checks_names(shop: Shop) -> set[str]:
    tool = tomllib.loads(shop.read(PYPROJECT))["tool"]
    paths = set(re.findall(r"services/(\w+)/src", tool["mypy"]["mypy_path"]))
    return paths | set(tool["importlinter"]["root_packages"]) - RESERVED


def lock(shop: Shop, service: Declaration) -> Iterator[str]:
    if service.name not in lock_names(shop):
        yield add(LOCK, f"{service.name} is not locked", f"./services/{service.name}") + "\n  or run `make lock`"


def lock_names(shop: Shop) -> set[str]:
    return set(re.findall(r"^\./services/(\w+)$", shop.read(LOCK), re.MULTILINE))


def http(shop: Shop, service: Declaration) -> Iterator[str]:
    """A contract for each service that this one calls; identity's keys have a standard of their own."""
    contracts = yaml.safe_load(shop.read(HTTP)).values()
    for called in service.calls:
        agreed = any(each["from"] == service.name and each["to"] == called for each in contracts)
        if called != "identity" and not agreed:
            lines = [
                f"{service.name}-{called}:",
                f"  from: {service.name}",
                f"  to: {called}",
                "  call: GET /…",
                "  schema: …",
            ]
            yield add(HTTP, f"no contract between {service.name} and {called}", *lines, "  examples: […]")


def http_names(shop: Shop) -> set[str]:
    contracts = yaml.safe_load(shop.read(HTTP)).values()
    return {party for each in contracts for party in (each["from"], each["to"])} - {"every service"}


def messages(shop: Shop, service: Declaration) -> Iterator[str]:
    contracts = yaml.safe_load(shop.read(MESSAGES))
    for type in service.publishes:
        if type not in contracts:
            yield add(MESSAGES, f"no contract of {type}", f"{type}:", "  schema: …", "  examples: […]")


def message_names(shop: Shop) -> set[str]:
    publishers = {type: each.name for each in shop.services for type in each.publishes}
    return {publishers.get(type, type) for type in yaml.safe_load(shop.read(MESSAGES)) if type != "$defs"}


def published(shop: Shop, service: Declaration) -> Iterator[str]:
    """The classes that the service publishes, with their consumers, against the declarations."""
    file, found = f"services/{service.name}/src/{service.name}/messages.py", {}
    if service.publishes:
        found = {each.type: each for each in importlib.import_module(f"{service.name}.messages").PUBLISHED}
    for type in service.publishes:
        if type not in found:
            yield add(file, f"PUBLISHED lacks {type}", f"a Message with type {type!r}", to="PUBLISHED")
    for type, message in found.items():
        consumers = shop.services.consumers_of(type)
        if type not in service.publishes:
            pyproject = f"services/{service.name}/pyproject.toml"
            yield add(pyproject, f"{type} is not declared", f'"{type}"', to="tool.quayside.messages.publishes")
        elif set(message.consumers) != set(consumers):
            yield add(
                file, f"{message.__name__} names {message.consumers}", f"consumers = {consumers!r}", to="the class"
            )


def consumed(shop: Shop, service: Declaration) -> Iterator[str]:
    """The types that the service's consumer handles, against its declaration."""
    file = f"services/{service.name}/src/{service.name}/consumers.py"
    handled = handled_types(shop.read(file), service.name) if shop.read(file) else set()
    for type in sorted(set(service.consumes) - handled):
        yield add(file, f"{type} is not handled", "handles(<its class in messages.py>, <a use case>)", to="Consumer")
    for type in sorted(handled - set(service.consumes)):
        pyproject = f"services/{service.name}/pyproject.toml"
        yield add(pyproject, f"{type} is not declared", f'"{type}"', to="tool.quayside.messages.consumes")


def handled_types(source: str, package: str) -> set[str]:
    """The message types of `handles(…)` in a consumers.py."""
    known: Any = importlib.import_module(f"{package}.messages")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    classes = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "handles"]
    return {getattr(known, ast.unparse(each).rpartition(".")[2]).type for each in classes}


def architecture(shop: Shop, service: Declaration) -> Iterator[str]:
    if service.name not in architecture_names(shop):
        store = {"postgres": "PostgreSQL", "valkey": "Valkey"}.get((*service.stores, "")[0], "–")
        line = f"| {service.name} | what it owns | {store} |"
        yield add(ARCHITECTURE, f"no row for {service.name}", line, to="the table of services")


def architecture_names(shop: Shop) -> set[str]:
    _, _, rest = shop.read(ARCHITECTURE).partition("## Services")
    table = rest.partition("\n## ")[0]
    return set(re.findall(r"^\| `?(\w+)`? \|", table, re.MULTILINE)) - {"service", "edge"}


def readme(shop: Shop, service: Declaration) -> Iterator[str]:
    """A node of the diagram; the words in its labels are not names."""
    diagram = shop.read(README).partition("```mermaid\n")[2].partition("```")[0]
    nodes = re.sub(r'".*?"|[\[({]+.*?[\])}]+', "", diagram)
    if not re.search(rf"\b{service.name}\b", nodes):
        line = f"edge --> {service.name}" if service.routes else f"{service.name} --- …"
        yield add(README, f"{service.name} is not in the diagram", line, to="the diagram")


def files(shop: Shop, service: Declaration) -> Iterator[str]:
    """What `make format` writes."""
    for path in derived.stale(shop.root, shop.services):
        yield f"{path}: stale since a declaration changed; run `make format`"


PLACES = (
    Place("services/<service>", folder),
    Place(PYPROJECT, checks, checks_names),
    Place(LOCK, lock, lock_names),
    Place(HTTP, http, http_names),
    Place(MESSAGES, messages, message_names),
    Place("messages.py", published),
    Place("consumers.py", consumed),
    Place(ARCHITECTURE, architecture, architecture_names),
    Place(README, readme),
    Place("what `make format` writes", files),
)
