"""The files that are derived from the services' declarations. `make format` writes them, `make lint` checks them."""

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chassis.local.processes import StartError
from shopctl import definitions, roles, scraping
from shopctl.console import fail, out
from shopctl.place import Place
from shopctl.services import COLLECTED, Declaration, Services

__all__ = ["check_all", "derive", "files", "stale"]


def derive(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file is stale.")] = False,
) -> None:
    """Write the files that follow from the services' declarations."""
    place = Place.here()
    found = stale(place.root, place.services)
    if check and found:
        fail("\n".join(f"{path}: stale; `make format` writes it." for path in found))
    for path, text in found.items():
        (place.root / path).write_text(text, encoding="utf-8")
        out.print(f"{path}: written")


def check_all(root: Path, services: Services) -> None:
    """Raises StartError if a file is stale."""
    if found := stale(root, services):
        names = ", ".join(map(str, found))
        raise StartError(f"A service's declaration has changed since `make format` wrote {names}. Run it again.")


def stale(root: Path, services: Services) -> dict[Path, str]:
    """The files that differ from what the declarations say, with the text that they should have."""
    return {path: text for path, text in files(services).items() if not _has(root / path, text)}


def files(services: Services) -> dict[Path, str]:
    """Each derived file by its path in the clone."""
    return {
        COLLECTED: collected(services),
        Path("deploy/postgres/init.sql"): roles.script(services),
        Path("deploy/prometheus/prometheus.yml"): scraping.in_containers(services),
        Path("deploy/rabbitmq/definitions.json.template"): definitions.template(services),
        Path("charts/common/templates/_services.tpl"): in_charts(services),
    }


def collected(services: Services) -> str:
    """All declarations in one file, for where there is no clone."""
    tables = map(msgspec.to_builtins, services)
    lines = (f"  {json.dumps(table.pop('name'))}: {json.dumps(table)}" for table in tables)
    return "{\n" + ",\n".join(lines) + "\n}\n"


def in_charts(services: Services) -> str:
    """What the charts need to know of each service, as a template of the library chart."""
    lines = (f"{each.name}: {json.dumps(_in_charts(each, services))}" for each in services)
    return "\n".join(
        [
            "{{- /* The services as their pyproject.toml declare them. `make format` writes this file. */ -}}",
            '{{- define "common.declared" -}}',
            *lines,
            "{{- end }}\n",
        ]
    )


def _in_charts(each: Declaration, services: Services) -> dict[str, object]:
    table = {"stores": each.stores, "calls": each.calls}
    return {**table, "edge": bool(each.routes), "audited": each.name in services.audited}


def _has(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
