"""Fixtures for every test of the project: the stores of `chassis.testing`, with this shop's topology."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from shopctl import services
from shopctl.definitions import render, template

ROOT = Path(__file__).parent
SETTINGS = {
    *("ADMIN_EMAIL", "ADMIN_PASSWORD", "ARCHIVE_DAYS", "AUDIENCE", "BROKER_URL", "CURRENCY", "DATABASE_URL"),
    *("ENVIRONMENT", "ISSUER", "JWKS_URL", "LOG_LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT", "PUBLIC_URL", "ROLE"),
    *("EDGE_BIND", "EDGE_LISTEN", "LB_POLICY", "OBSERVE", "ORDER_TTL_SECONDS", "SWEEP_SECONDS"),
    *("JAEGER_KEEP_PERCENT", "PROMETHEUS_URL", "TRACE_SAMPLE_RATIO", "VALKEY_URL"),
}

# Tests set the environment of services, stores and shopctl themselves, so variables of the caller must not reach them.
# The umask lets servers read the files of tests: if root runs the tests, servers run as other users.
for name in list(os.environ):
    if name.startswith(("PG", "SHOP_")) or name in SETTINGS:
        del os.environ[name]
os.umask(0o022)

pytest_plugins = ["chassis.testing.fixtures"]

# A test may be slow on a busy machine without failing.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


STORES = {"postgres_server", "rabbitmq_server", "valkey_url"}
PACKAGES = ("libs", "services")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With stores in containers, runs only the tests that use one, besides those across services."""
    if os.environ.get("TEST_STORES") != "containers":
        return
    chosen = [item for item in items if uses_a_store(item) or item.path.parts[len(ROOT.parts)] not in PACKAGES]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def uses_a_store(item: pytest.Item) -> bool:
    return bool(STORES & set(getattr(item, "fixturenames", ())))


@pytest.fixture(scope="session")
def rabbitmq_definitions() -> str:
    shop = services.load(ROOT)
    return render(template(shop), {user: user for user in shop.broker_users})
