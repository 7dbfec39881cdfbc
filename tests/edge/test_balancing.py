"""Tests of load balancing: the distribution of requests under each LB_POLICY, and the address of the client."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from chassis.local.processes import StartError
from shopctl.native.edge import Edge as NativeEdge
from shopctl.place import Place

from .conftest import SERVICES, Edge, Upstream, nginx, serve


@pytest.fixture
async def replicas() -> AsyncIterator[dict[str, Upstream]]:
    async with serve("catalog-1", "catalog-2", "catalog-3") as replicas:
        yield replicas


def settings(policy: str, replicas: dict[str, Upstream], trusted: str = "") -> dict[str, str]:
    servers = " ".join(f"server 127.0.0.1:{replica.port};" for replica in replicas.values())
    upstreams = {f"{name.upper()}_SERVERS": servers for name in SERVICES}
    return {"LB_POLICY": policy, "EDGE_TRUSTED_PROXIES": trusted, **upstreams}


async def ask(client: httpx2.AsyncClient, headers: dict[str, str] | None = None) -> str:
    """Sends a request, and returns the name of the replica that answered."""
    path = f"/api/catalog/products?q={uuid4()}"  # the edge keeps answers to the same request
    return str((await client.get(path, headers=headers)).json()["service"])


def from_address(edge: Edge, address: str) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(local_address=address)
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{edge.port}", transport=transport, timeout=15)


async def test_round_robin_gives_each_server_its_turn(run_folder: Path, replicas: dict[str, Upstream]) -> None:
    async with nginx(run_folder, {}, settings("round-robin", replicas)) as edge:
        answered = Counter([await ask(edge.client) for _ in range(60)])
    assert answered == dict.fromkeys(replicas, 20)


@pytest.mark.parametrize(
    ("policy", "delay", "expected"), [("round-robin", 0.3, range(15, 26)), ("least-connections", 1, range(1, 11))]
)
async def test_a_slow_server_gets_fewer_requests_only_under_least_connections(
    run_folder: Path, replicas: dict[str, Upstream], policy: str, delay: float, expected: range
) -> None:
    """The delay is far longer than the others need on a slow machine; under round-robin it does not matter."""
    replicas["catalog-2"].delay = delay
    answered: Counter[str] = Counter()

    async def client(edge: Edge) -> None:
        for _ in range(10):
            answered[await ask(edge.client)] += 1

    async with nginx(run_folder, {}, settings(policy, replicas)) as edge:
        await asyncio.gather(*[client(edge) for _ in range(6)])
    assert answered.total() == 60
    assert answered["catalog-2"] in expected


async def test_source_ip_hash_keeps_a_client_with_a_server(run_folder: Path, replicas: dict[str, Upstream]) -> None:
    chosen = []
    async with nginx(run_folder, {}, settings("source-ip-hash", replicas)) as edge:
        for last in range(1, 13):
            async with from_address(edge, f"127.0.0.{last}") as client:
                chosen.append({await ask(client) for _ in range(5)})
    assert {len(servers) for servers in chosen} == {1}
    assert set.union(*chosen) == set(replicas), "clients with similar addresses may use different servers"


async def test_source_ip_hash_skips_a_dead_server(run_folder: Path, replicas: dict[str, Upstream]) -> None:
    del replicas["catalog-1"], replicas["catalog-2"]
    values = settings("source-ip-hash", replicas)
    values["CATALOG_SERVERS"] += " server 127.0.0.1:1;"
    async with nginx(run_folder, {}, values) as edge:
        for last in range(1, 9):
            async with from_address(edge, f"127.0.0.{last}") as client:
                assert await ask(client) == "catalog-3"


async def test_a_trusted_proxy_determines_the_address_of_the_client(
    run_folder: Path, replicas: dict[str, Upstream]
) -> None:
    async with nginx(run_folder, {}, settings("source-ip-hash", replicas, "set_real_ip_from 127.0.0.1;")) as edge:
        claimed = {"X-Forwarded-For": "6.6.6.6, 192.0.2.7"}
        told = (await edge.client.get("/api/catalog/products", headers=claimed)).json()["headers"]
        chosen = {await ask(edge.client, {"X-Forwarded-For": f"192.0.2.{last}"}) for last in range(1, 13)}
        async with from_address(edge, "127.0.0.2") as stranger:
            believed = (await stranger.get("/api/catalog/products", headers=claimed)).json()["headers"]
    assert told["x-forwarded-for"] == "192.0.2.7"
    assert chosen == set(replicas)
    assert believed["x-forwarded-for"] == "127.0.0.2"


PROXIES = {"EDGE_TRUSTED_PROXIES": "set_real_ip_from 127.0.0.1;", "EDGE_TRUSTED_NETWORKS": "127.0.0.1 1;"}


@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        ("https", "https"),
        ("http", "http"),
        ("", "http"),
        ("wss", "http"),
        ("https, http", "http"),
        ("httpsx", "http"),
        ("x1https", "http"),
    ],
)
@pytest.mark.parametrize("client", ["192.0.2.7", "127.0.0.1", None])
async def test_a_trusted_proxy_tells_whether_the_client_uses_https(
    run_folder: Path, upstreams: dict[str, Upstream], claimed: str, told: str, client: str | None
) -> None:
    headers = {"X-Forwarded-Proto": claimed} | ({"X-Forwarded-For": client} if client else {})
    async with nginx(run_folder, upstreams, PROXIES) as edge:
        proxied = (await edge.client.get("/cart", headers=headers)).json()["headers"]
        async with from_address(edge, "127.0.0.2") as stranger:
            direct = (await stranger.get("/cart", headers=headers)).json()["headers"]
    assert (proxied["x-forwarded-proto"], direct["x-forwarded-proto"]) == (told, "http")


async def test_without_trusted_proxies_no_scheme_is_believed(edge: Edge) -> None:
    for claimed in ("https", "1https", "1 https"):
        seen = (await edge.client.get("/cart", headers={"X-Forwarded-Proto": claimed})).json()["headers"]
        assert seen["x-forwarded-proto"] == "http"


async def test_pages_for_http_and_https_do_not_share_an_answer(
    run_folder: Path, upstreams: dict[str, Upstream]
) -> None:
    upstreams["storefront"].headers = {"Cache-Control": "public, max-age=100"}
    async with nginx(run_folder, upstreams, PROXIES) as edge:
        for scheme in ("http", "https"):
            answers = [await edge.client.get("/", headers={"X-Forwarded-Proto": scheme}) for _ in range(2)]
            assert [answer.headers["X-Cache"] for answer in answers] == ["MISS", "HIT"]
            assert answers[1].json()["headers"]["x-forwarded-proto"] == scheme


async def test_an_unknown_policy_stops_nginx(
    run_folder: Path, replicas: dict[str, Upstream], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError, match="nginx has stopped"):
        async with nginx(run_folder, {}, settings("fastest", replicas)):
            pass
    assert f'open() "{run_folder}/balancing/fastest.conf" failed' in capfd.readouterr().err


def test_an_unknown_policy_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LB_POLICY", "fastest")
    edge = NativeEdge(Place(Path(__file__).parents[2], tmp_path / "run"))
    with pytest.raises(StartError, match="'fastest'; it must be one of least-connections, round-robin, source-ip-hash"):
        edge.prepare()
    assert not edge.home.exists()


def test_a_native_edge_trusts_the_same_proxies_for_address_and_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_TRUSTED_PROXIES", "set_real_ip_from 10.0.0.0/8; set_real_ip_from fd00::/8;")
    edge = NativeEdge(Place(Path(__file__).parents[2], tmp_path / "run"))
    edge.prepare()
    written = (edge.home / "quayside.conf").read_text()
    assert "set_real_ip_from 10.0.0.0/8; set_real_ip_from fd00::/8;" in written
    assert "10.0.0.0/8 1; fd00::/8 1;" in written
