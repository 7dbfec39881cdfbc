"""A service gets its own settings and those that the README lists, and nothing else from the caller's environment."""

import re
from pathlib import Path

import pytest

from shopctl.compose import PUBLISHED, ComposeShop
from shopctl.native.edge import LIMITS
from shopctl.native.services import PASSED_ON, PROVIDER, Service, services
from shopctl.place import Place

ROOT = Path(__file__).parents[3]
STRANGERS = {
    "ROLE": "admin",
    "ENVIRONMENT": "staging",
    "DATABASE_URL": "mysql://elsewhere",
    "DATABASE_URL_FILE": "/nowhere",
    "BROKER_URL": "amqp://elsewhere",
    "CURRENCY": "USD",
    "ADMIN_EMAIL": "me@elsewhere.example",
    "ADMIN_PASSWORD": "mine",
    "PORT": "80",
    "http_proxy": "http://proxy.example:3128",
    "ALL_PROXY": "socks5://proxy.example",
    "PYTHONPATH": "/elsewhere",
    "PYTHONIOENCODING": "ascii",
    "PGSSLMODE": "require",
    "LC_ALL": "C",
    "UVICORN_WORKERS": "4",
}
# Variables of compose.yaml that are no service's settings: those of shopctl, of the images, and of the load test.
COMPOSE = {
    "EDGE_BIND",
    "IMAGES",
    "JAEGER_KEEP_ORDERS_PERCENT",
    "JAEGER_KEEP_PERCENT",
    "SHOP_PROMETHEUS_URL",
    "SHOP_SECRETS",
    "TAG",
    "TELEMETRY",
    *("LOAD_REQUESTS", "LOAD_RUN", "LOAD_WORKERS", "PAGES", "PERSONAS", "SEED", "SHAPE", "THRESHOLDS", "TIME", "USERS"),
} | {f"{name.upper()}_PORT" for name in PUBLISHED}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(ROOT, tmp_path / "run", offset=24_000)


def of(place: Place, name: str) -> Service:
    (found,) = [service for service in services(place) if service.name == name]
    return found


def test_another_program_s_variables_do_not_reach_a_service(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {service.name: service.environment for service in services(place)}
    for name, value in STRANGERS.items():
        monkeypatch.setenv(name, value)
    assert {service.name: service.environment for service in services(place)} == before


def test_a_listed_variable_reaches_a_service_and_empty_means_unset(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("PUBLIC_URL", "")
    assert of(place, "order").environment["LOG_LEVEL"] == "DEBUG"
    assert of(place, "identity").environment["PUBLIC_URL"] == "http://localhost:32080"


def test_stripes_keys_reach_the_payment_service_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROVIDER:
        monkeypatch.setenv(name, "stripe")
    given = {service.name: service.environment.keys() & {*PROVIDER} for service in services(place)}
    assert {name: keys for name, keys in given.items() if keys} == {
        "payment": {*PROVIDER},
        "storefront": {"PAYMENT_PROVIDER"},
    }


def test_stripes_keys_are_secret_files_in_compose(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = ComposeShop(place)
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_123")
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET", raising=False)
    shop.write_secrets()
    assert (shop.secrets / "stripe-api-key").read_text() == "sk_test_123"
    assert (shop.secrets / "stripe-webhook-secret").read_text() == ""


def test_identity_knows_the_public_address(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBLIC_URL", raising=False)
    assert of(place, "identity").environment["PUBLIC_URL"] == place.address
    monkeypatch.setenv("PUBLIC_URL", "https://shop.example")
    assert of(place, "identity").environment["PUBLIC_URL"] == "https://shop.example"


def test_compose_passes_on_the_same_and_the_readme_lists_it() -> None:
    taken = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert taken - COMPOSE == {*PASSED_ON, *LIMITS, "PAYMENT_PROVIDER", "LB_POLICY", "EDGE_TRACE_CLIENTS"}
    readme = (ROOT / "README.md").read_text()
    assert {name for name in {*PROVIDER, *taken} - COMPOSE if f"`{name}`" not in readme} == set()
