"""Where the charts name a service. Its network policies and Secrets follow from its declaration."""

from collections.abc import Iterator

import yaml

from places import Place, Shop, add
from places.deployment import URLS
from shopctl.services import RESERVED, Declaration

UMBRELLA, VALUES = "charts/shop/Chart.yaml", "charts/shop/values.yaml"
FOR_ALL = {"global", "defaultDeny"}  # values that no service could have


def umbrella(shop: Shop, service: Declaration) -> Iterator[str]:
    if service.name not in umbrella_names(shop):
        name = service.name
        line = f'- {{name: {name}, version: 0.1.0, repository: "file://../{name}", condition: {name}.enabled}}'
        yield add(UMBRELLA, f"the whole shop has no {name}", line, to="dependencies")


def umbrella_names(shop: Shop) -> set[str]:
    return {each["name"] for each in yaml.safe_load(shop.read(UMBRELLA))["dependencies"]} - RESERVED


def values(shop: Shop, service: Declaration) -> Iterator[str]:
    found, name = yaml.safe_load(shop.read(VALUES)), service.name
    if name not in found:
        keys = " and ".join(f"`{URLS[store]}`" for store in service.stores)
        lines = [f"{name}:", "  # Install this service.", "  enabled: true"]
        if keys:
            lines += [f"  # Secret with {keys}. `infra` makes this one.", f"  existingSecret: {name}-stores"]
        yield add(VALUES, f"no values of {name}", *lines)
    key = f"shop-{name}-database-url"
    if name in shop.services.audited and key not in found["shopctl"]["secrets"]:
        lines = [f"# The same for {name}.", f'{key}: {{name: "", key: ""}}  # a: key of a Secret']
        yield add(VALUES, f"the audit cannot read the database of {name}", *lines, to="shopctl.secrets")


def values_names(shop: Shop) -> set[str]:
    found = yaml.safe_load(shop.read(VALUES))
    audited = {key[len("shop-") : -len("-database-url")] for key in found["shopctl"]["secrets"] if "-database-" in key}
    return (found.keys() - FOR_ALL - RESERVED) | audited


def chart(shop: Shop, service: Declaration) -> Iterator[str]:
    """The service's own chart: which files, the keys of its Secret, the addresses of those that it calls."""
    name = service.name
    for file in ("Chart.yaml", "README.md", "values.yaml", "templates/all.yaml"):
        if not shop.read(f"charts/{name}/{file}"):
            yield f"charts/{name}/{file}: missing; `make new-service` makes one, and charts/catalog has an example"
    file = f"charts/{name}/values.yaml"
    found = yaml.safe_load(shop.read(file)) or {}
    for key in (URLS[store] for store in service.stores):
        if key not in found.get("secrets", {}):
            yield add(file, f"no {key}", f'{key}: {{name: "", key: ""}}  # a: key of a Secret', to="secrets")
    for called in service.calls:
        if not any(f"//{called}:8000" in str(value) for value in found.get("config", {}).values()):
            line = f"{called.upper()}_URL: http://{called}:8000  # a: url"
            if called == "identity":
                line = "JWKS_URL: http://identity:8000/.well-known/jwks.json  # a: url of keys"
            yield add(file, f"{name} does not know where {called} is", line, to="config")


def chart_names(shop: Shop) -> set[str]:
    return {path.parent.name for path in shop.root.glob("charts/*/Chart.yaml")} - RESERVED


PLACES = (
    Place(UMBRELLA, umbrella, umbrella_names),
    Place(VALUES, values, values_names),
    Place("charts/<service>", chart, chart_names),
)
