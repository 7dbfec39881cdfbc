"""Tests of each chart as a separate release, with given Secrets and addresses."""

from collections.abc import Iterator

import pytest
from release import Release
from shopper import Admin, Shopper

pytestmark = pytest.mark.timeout(900)  # the first test of a session also builds and pushes all images

# The keys that a chart reads from a Secret, besides those that `infra` creates for its service.
SECRETS = {
    "identity": ["admin-password"],
    "catalog": [],
    "cart": [],
    "order": [],
    "payment": ["psp-webhook-secret"],
    "psp": ["psp-webhook-secret"],
}


@pytest.fixture(scope="module")
def alone(registry: str) -> Iterator[Release]:
    release = Release(registry, namespace="quayside-alone", node_port=30081)
    release.create()
    try:
        yield release
    finally:
        release.remove()


def install(release: Release, chart: str, *values: str, check: bool = True) -> str:
    options = [f"--set={value}" for value in values]
    return release.helm("install", chart, f"charts/{chart}", *options, check=check)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "order: set existingSecret, the name of a Secret in the namespace quayside-alone with the key"),
        (["existingSecret=nowhere"], "order: there is no Secret nowhere with the key database-url in the namespace"),
        (["existingSecret=nowhere", "replica=2"], "additional properties 'replica' not allowed"),
    ],
)
def test_a_missing_secret_is_named_before_anything_is_created(alone: Release, values: list[str], said: str) -> None:
    assert said in install(alone, "order", *values, check=False)
    assert alone.releases() == []


def test_separate_releases_form_a_shop(alone: Release) -> None:
    keys = [f"--from-literal={key}=of-this-test-alone" for key in ("admin-password", "psp-webhook-secret")]
    alone.kubectl("create", "secret", "generic", "shop", *keys)
    install(alone, "infra")
    for service, keys in SECRETS.items():
        given = [f"secrets.{key}.name=shop" for key in keys]
        image = [f"image.registry={alone.registry}", "image.tag=test-1"]
        install(alone, service, *image, *given, f"existingSecret={service}-stores")
    install(alone, "edge", "service.type=NodePort", f"service.nodePort={alone.node_port}")
    alone.settled()
    alone.reached()
    sku = Admin(alone.place).product(stock=2)
    shopper = Shopper(alone.place)
    assert shopper.waits_for(shopper.buy(sku), seconds=60) == "CONFIRMED"  # first, the services find the broker
