"""Tests of the shop in Compose: replicas behind the edge, secrets, data that outlive containers, restarts."""

import asyncio
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from counts import answered, read_catalog
from shopper import eventually

from chassis.local.processes import StartError
from shopctl.compose import ComposeShop
from shopctl.edge import http
from shopctl.status import look_into

pytestmark = pytest.mark.timeout(180)

SECRETS = ("PASSWORD", "KEY", "SECRET", "DATABASE_URL", "BROKER_URL", "VALKEY_URL")


@pytest.fixture(scope="module")
def config(shop: ComposeShop) -> dict[str, Any]:
    """The resolved configuration of compose.yaml."""
    found: dict[str, Any] = json.loads(compose(shop, "config", "--format", "json"))
    return found


def test_orders_are_served_by_every_replica(shop, new_shopper, admin, audit) -> None:
    sku = admin.product(stock=1000)
    with scaled(shop, catalog=3, order=2):
        before = {name: served(shop, name) for name in ("catalog", "order")}
        shoppers = [new_shopper() for _ in range(4)]
        for _ in range(5):
            ids = [shopper.buy(sku) for shopper in shoppers]
            for shopper, id in zip(shoppers, ids, strict=True):
                assert shopper.waits_for(id) == "CONFIRMED"
                assert shopper.has_empty_cart()
        for name, counts in before.items():
            after = served(shop, name)
            assert all(after[replica] > counts[replica] for replica in counts), (name, counts, after)
    audit()


def test_round_robin_gives_each_replica_its_turn(shop) -> None:
    with scaled(shop, catalog=3):
        counts = counted(shop, requests=90, clients=1)
        assert max(counts) - min(counts) <= 6, counts


def test_least_connections_spares_a_slow_replica(shop) -> None:
    with scaled(shop, catalog=3), policy(shop, "least-connections"):
        slow = shop.containers("catalog")[-1]  # the first one stays when the others are removed
        docker("update", "--cpus", "0.02", slow)
        counts = dict(zip(replicas(shop, "catalog"), counted(shop, requests=300, clients=9), strict=True))
        assert counts.pop(slow) < min(counts.values()) / 2, counts


def test_source_ip_hash_keeps_a_client_with_one_replica(shop) -> None:
    with scaled(shop, catalog=3), policy(shop, "source-ip-hash"):
        assert sorted(counted(shop, requests=60, clients=1)) == [0, 0, 60]


def test_the_edge_keeps_pages_and_files_although_its_root_is_read_only(shop) -> None:
    with httpx2.Client(base_url=shop.place.address, headers={"Accept": "text/html"}, trust_env=False) as http:
        page = http.get("/").raise_for_status()
        (style, *_) = re.findall(r'href="(/static/[^"]+/shop\.css)"', page.text)
        assert [http.get(style).headers["X-Cache"] for _ in range(2)] == ["MISS", "HIT"]


def test_data_outlive_the_containers(shop, shopper, admin, audit) -> None:
    sku = admin.product(stock=5)
    id = shopper.buy(sku, 2)
    assert shopper.waits_for(id) == "CONFIRMED"
    assert shopper.has_empty_cart()
    shopper.put(sku)
    shop.down()
    assert shop.processes() == {}
    shop.up()
    assert asyncio.run(look_into(shop.place)).unconsumed == []
    assert shopper.status(id) == "CONFIRMED"
    assert shopper.http.get("/api/cart").json()["items"][0]["sku"] == sku
    assert admin.available(sku) == 3
    audit()


def test_a_service_that_comes_back_at_another_address_is_found(shop, shopper, admin) -> None:
    sku = admin.product(stock=1)
    before = shop.address("order")
    shop.stop("order")
    with another_container(shop):  # which takes the free address
        shop.start("order")
        assert shop.address("order") != before
        assert shopper.waits_for(shopper.buy(sku)) == "CONFIRMED"


def test_a_container_that_exits_by_itself_is_restarted(shop) -> None:
    (process,) = shop.processes()["cart"]
    # Detached, because it may be killed together with its container.
    docker("exec", "--detach", *shop.containers("cart"), "python", "-c", "import os; os.kill(1, 15)")
    assert eventually(lambda: shop.processes().get("cart", [process])[0] != process)
    assert eventually(lambda: row(shop, "cart").state == "ready")


def test_a_crowd_that_signs_in_does_not_exhaust_the_memory_of_identity(shop) -> None:
    def sign_in(number: int) -> int:
        nobody = {"grant_type": "password", "username": f"nobody-{number}@quayside.example", "password": "it is hashed"}
        return httpx2.post(f"{shop.place.address}/api/identity/token", data=nobody, timeout=15).status_code

    before = shop.processes()["identity"]
    with ThreadPoolExecutor(12) as crowd:
        answers = Counter(crowd.map(sign_in, range(24)))
    assert answers.keys() <= {400, 503, 504}, answers  # 504: a busy machine took longer than the edge waits
    assert answers[400] > 4
    assert shop.processes()["identity"] == before


def test_a_container_that_cannot_start_says_why(shop, monkeypatch) -> None:
    monkeypatch.setenv("ORDER_TTL_SECONDS", "soon")  # only order reads it
    with pytest.raises(StartError, match=r"(?s)order:\n.*ORDER_TTL_SECONDS"):
        shop.up()
    monkeypatch.undo()
    shop.up()


def test_volumes_with_other_passwords_are_named(shop, monkeypatch) -> None:
    passwords = shop.place.passwords
    shop.down()
    with monkeypatch.context() as other_clone:
        other_clone.setitem(passwords, "postgres", "of-another-clone")
        with pytest.raises(StartError, match=r"data of a shop with other passwords.*SHOP_PORT_OFFSET=1000"):
            shop.up()
    shop.up()


def test_ports_are_published_only_to_this_machine(config: dict[str, Any]) -> None:
    published = {
        name: {port.get("host_ip") for port in service.get("ports", ())} for name, service in config["services"].items()
    }
    assert {name for name, hosts in published.items() if hosts} == {"edge", "postgres", "psp", "rabbitmq"}
    assert set().union(*published.values()) == {"127.0.0.1"}


def test_a_container_holds_only_its_own_secrets(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        given = {secret["source"] for secret in service.get("secrets", ())}
        allowed = {
            "postgres": {"postgres-password"},
            "databases": {"database-passwords"},
            "valkey": {"valkey-users"},
            "rabbitmq": {"rabbitmq-definitions"},
            "payment": {
                *("payment-database-url", "payment-broker-url", "psp-webhook-secret"),
                *("stripe-api-key", "stripe-webhook-secret"),
            },
            "psp": {"psp-webhook-secret"},
            "identity-migrate": {"identity-database-url", "admin-password"},
        }.get(name, {secret for secret in given if secret.startswith(f"{name.removesuffix('-migrate')}-")})
        assert given == allowed, name
        assert not [key for key in service.get("environment", {}) if key.endswith(SECRETS)], name


def test_our_containers_are_hardened_and_all_have_memory_limits(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        if service["image"].startswith("quayside/") or name == "edge":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "databases":
            assert int(service["mem_limit"]) <= 384 * 2**20, name


def replicas(shop: ComposeShop, name: str) -> list[str]:
    return shop.containers(name)


def served(shop: ComposeShop, name: str) -> dict[str, int]:
    """Returns the number of API requests that each replica has answered."""
    return {id: answered(metrics(id)) for id in replicas(shop, name)}


def metrics(container: str) -> str:
    (network,) = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"].values()
    with http.open(f"http://{network['IPAddress']}:8000/metrics", timeout=10) as answer:
        return answer.read().decode()


def counted(shop: ComposeShop, *, requests: int, clients: int) -> list[int]:
    """Reads the catalog `requests` times, and returns the number of answers from each replica."""
    before = served(shop, "catalog")
    read_catalog(shop.place.address, requests=requests, clients=clients)
    return [count - before[id] for id, count in served(shop, "catalog").items()]


@contextmanager
def scaled(shop: ComposeShop, **counts: int) -> Iterator[None]:
    def scale(counts: dict[str, int]) -> None:
        options = [f"--scale={name}={count}" for name, count in counts.items()]
        compose(shop, "up", "--detach", "--no-build", "--no-recreate", "--wait", *options, *counts)
        time.sleep(6)  # the edge resolves names every 3 s; a busy machine may be late

    scale(counts)
    try:
        yield
    finally:
        scale(dict.fromkeys(counts, 1))


@contextmanager
def policy(shop: ComposeShop, name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LB_POLICY", name)
        shop.start("edge")
    try:
        yield
    finally:
        shop.start("edge")


@contextmanager
def another_container(shop: ComposeShop) -> Iterator[None]:
    options = ["--detach", "--rm", "--network", shop.network, "--entrypoint", "sleep"]
    container = docker("run", *options, "postgres:17-trixie", "300").strip()
    try:
        yield
    finally:
        docker("kill", container)


def row(shop: ComposeShop, name: str) -> Any:
    return next(row for row in shop.rows() if row.name == name)


def compose(shop: ComposeShop, *arguments: str) -> str:
    return run(*shop.command, *arguments, env=shop.environment)


def docker(*arguments: str) -> str:
    return run("docker", *arguments)


def run(*argv: str, **options: Any) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout
