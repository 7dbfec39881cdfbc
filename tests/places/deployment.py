"""Where Compose, the image build, Skaffold and the edge name a service."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from places import Place, Shop, add
from shopctl.services import RESERVED, Declaration

URLS = {"postgres": "database-url", "valkey": "valkey-url", "rabbitmq": "broker-url"}


def secrets(service: Declaration) -> dict[str, str]:
    """The secrets that a service's stores need, by the variable that names the file."""
    urls = [URLS[store] for store in service.stores]
    return {f"{url.upper().replace('-', '_')}_FILE": f"{service.name}-{url}" for url in urls}


def compose(shop: Shop, service: Declaration) -> Iterator[str]:
    file, name = "compose.yaml", service.name
    found = yaml.safe_load(shop.read(file))
    if name not in found["services"]:
        yield add(file, f"no service {name!r}", compose_service(service), to="services")
    else:
        yield from compose_environment(found["services"][name], service)
    if "postgres" in service.stores and f"{name}-migrate" not in found["services"]:
        yield add(file, f"no service '{name}-migrate'", compose_migration(name), to="services")
    for secret in secrets(service).values():
        if secret not in found["secrets"]:
            line = f'{secret}: {{file: "${{SHOP_SECRETS:-.run/compose}}/{secret}"}}'
            yield add(file, f"no secret {secret!r}", line, to="secrets")
    servers = f"{name.upper()}_SERVERS"
    if service.routes and servers not in found["services"]["edge"]["environment"]:
        line = f"{servers}: server {name}:8000 resolve fail_timeout=2s;"
        yield add(file, f"the edge does not know {name}", line, to="services.edge.environment")


def compose_environment(found: dict[str, Any], service: Declaration) -> Iterator[str]:
    file, name, environment = "compose.yaml", service.name, found.get("environment", {})
    for variable, secret in secrets(service).items():
        if environment.get(variable) != f"/run/secrets/{secret}":
            line = f"{variable}: /run/secrets/{secret}"
            yield add(file, f"{name} has no {variable}", line, to=f"services.{name}.environment")
        if secret not in found.get("secrets", []):
            yield add(file, f"{name} has no secret {secret}", secret, to=f"services.{name}.secrets")
    for called in service.calls:
        if not any(f"//{called}:8000" in str(value) for value in environment.values()):
            line = f"{called.upper()}_URL: http://{called}:8000"
            yield add(file, f"{name} does not know where {called} is", line, to=f"services.{name}.environment")


def compose_service(service: Declaration) -> str:
    name, needed = service.name, secrets(service)
    files = [f"    {variable}: /run/secrets/{secret}" for variable, secret in needed.items()]
    calls = [f"    {each.upper()}_URL: http://{each}:8000" for each in service.calls if each != "identity"]
    lines = [f"{name}:", "  <<: *service", f'  image: &{name} "${{IMAGES:-quayside}}/{name}:${{TAG:-dev}}"']
    lines += [f"  build: {{context: ., dockerfile: services/{name}/Dockerfile}}"]
    lines += ["  environment:", "    <<: *environment", *files, *calls]
    lines += [f"  secrets: [{', '.join(needed.values())}]"] if needed else []
    if "postgres" in service.stores:
        lines += ["  depends_on:", f"    {name}-migrate: {{condition: service_completed_successfully}}"]
    lines += ["  develop:", "    watch:", f"      - {{action: rebuild, path: services/{name}/src}}"]
    return "\n".join([*lines, "      - {action: rebuild, path: libs/chassis/src}"])


def compose_migration(name: str) -> str:
    lines = [f"{name}-migrate:", "  <<: *migration", f"  image: *{name}"]
    lines += [f"  command: [python, -m, chassis.db.migrations, {name}]"]
    lines += [f"  environment: {{DATABASE_URL_FILE: /run/secrets/{name}-database-url}}"]
    return "\n".join([*lines, f"  secrets: [{name}-database-url]"])


def compose_names(shop: Shop) -> set[str]:
    found = yaml.safe_load(shop.read("compose.yaml"))["services"]
    names = {name for name, each in found.items() if "profiles" not in each}  # the others observe the shop
    return {name.removesuffix("-migrate") for name in names - RESERVED}


def bake(shop: Shop, service: Declaration) -> Iterator[str]:
    if service.name not in bake_names(shop):
        yield add("docker-bake.hcl", f"no image of {service.name}", f'"{service.name}"', to="services")


def bake_names(shop: Shop) -> set[str]:
    (names,) = re.findall(r"^services = \[(.*)\]", shop.read("docker-bake.hcl"), re.MULTILINE)
    return set(re.findall(r'"(\w+)"', names))


def skaffold(shop: Shop, service: Declaration) -> Iterator[str]:
    file, name = "skaffold.yaml", service.name
    if name not in skaffold_names(shop):
        lines = [f"- image: quayside/{name}", f"  docker: {{dockerfile: services/{name}/Dockerfile}}", "  sync:"]
        lines += [
            "    manual:",
            f"      - {{src: services/{name}/src/**/*.py, strip: services/{name}/src, dest: /tmp/app}}",
        ]
        yield add(file, f"no image of {name}", *lines, "      - *chassis", to="build.artifacts")
    (release,) = yaml.safe_load(shop.read(file))["deploy"]["helm"]["releases"]
    for value in ("repository", "tag", "digest"):
        kind = "REPO" if value == "repository" else value.upper()
        key, text = f"{name}.image.{value}", f"{{{{.IMAGE_{kind}_quayside_{name}}}}}"
        if release["setValueTemplates"].get(key) != text:
            yield add(
                file, f"the chart does not get {key}", f'{key}: "{text}"', to="deploy.helm.releases.setValueTemplates"
            )


def skaffold_names(shop: Shop) -> set[str]:
    found = yaml.safe_load(shop.read("skaffold.yaml"))
    images = {each["image"].removeprefix("quayside/") for each in found["build"]["artifacts"]}
    (release,) = found["deploy"]["helm"]["releases"]
    return (images | {key.partition(".")[0] for key in release["setValueTemplates"]}) - RESERVED


EDGE = "deploy/nginx/quayside.conf.template"
LOCATION = re.compile(r"location (?:= )?(/[\w./-]*)\s*\{(?:\s*set [^;]*;)?\s*proxy_pass http://(\w+);")
NOT_FOR_CLIENTS = ("/api", "/health", "/metrics")


def edge(shop: Shop, service: Declaration) -> Iterator[str]:
    text, name = shop.read(EDGE), service.name
    upstreams = set(re.findall(r"^upstream (\w+) \{", text, re.MULTILINE))
    if service.routes and name not in upstreams:
        yield add(EDGE, f"no upstream {name!r}", upstream(name), to="the upstreams")
    passed = {(path.rstrip("/") or "/", target) for path, target in LOCATION.findall(text)}
    for route in service.routes:
        if route == "/":
            yield from root(text, name)
        elif (route, name) not in passed:
            line = f"location {route} {{ proxy_pass http://{name}; }}"
            yield add(EDGE, f"{route} does not lead to {name}", line, to="server")
    if service.routes and name not in re.findall(r'^ +"~ .*\(\?<edge_route>.*" +(\w+);$', text, re.MULTILINE):
        routes = "|".join(map(re.escape, service.routes))
        yield add(EDGE, f"telemetry does not know {name}", f'"~ (?<edge_route>{routes})" {name};', to="$edge_service")


def root(text: str, name: str) -> Iterator[str]:
    """A service at `/` gets every path that no other one has, except for what it keeps from clients itself."""
    lines = [f"location / {{ proxy_pass http://{name}; }}"]
    lines += [f"location {path} {{ return 404; }}" for path in NOT_FOR_CLIENTS]
    there = {" ".join(line.split()) for line in text.splitlines()}
    if absent := [line for line in lines if line not in there]:
        yield add(EDGE, f"/ does not lead to {name}", *absent, to="server")


def upstream(name: str) -> str:
    lines = [f"zone {name} 64k;", "include balancing/${LB_POLICY}.conf;", f"${{{name.upper()}_SERVERS}}"]
    lines += ["keepalive 32;", "keepalive_timeout 4s;", "keepalive_requests 10000;"]
    return "\n".join([f"upstream {name} {{", *(f"    {line}" for line in lines), "}"])


def edge_names(shop: Shop) -> set[str]:
    text = shop.read(EDGE)
    declared = {(route, each.name) for each in shop.services for route in each.routes}
    strangers = {(path.rstrip("/") or "/", target) for path, target in LOCATION.findall(text)} - declared
    return set(re.findall(r"^upstream (\w+) \{", text, re.MULTILINE)) | {
        f"{target} at {path}" for path, target in strangers
    }


DOCS = "services/storefront/src/storefront/templates/docs.html"


def docs_page(shop: Shop, service: Declaration) -> Iterator[str]:
    """A service at `/` serves pages, which no OpenAPI document describes."""
    if service.routes and "/" not in service.routes and f'href="{service.specification}"' not in shop.read(DOCS):
        line = f'<li><a href="{service.specification}">{service.name.capitalize()}</a></li>'
        yield add(DOCS, f"no OpenAPI document of {service.name}", line, to="the list")


def docs_page_names(shop: Shop) -> set[str]:
    owners = {each.specification: each.name for each in shop.services if each.routes}
    return {owners.get(path, path) for path in re.findall(r'href="(/api/[^"]+)"', shop.read(DOCS))}


PLACES = (
    Place("compose.yaml", compose, compose_names),
    Place("docker-bake.hcl", bake, bake_names),
    Place("skaffold.yaml", skaffold, skaffold_names),
    Place(EDGE, edge, edge_names),
    Place(DOCS, docs_page, docs_page_names),
)
