"""A service can use only its own keys of Valkey, and cannot administer it. What it stores has a limit."""

import re
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from shopctl import acl, services

ROOT = Path(__file__).parents[2]
SERVICES = services.load(ROOT)
USERS = SERVICES.valkey_users
ADMINISTRATION = [("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("MONITOR",), ("SHUTDOWN",)]
OTHERS = [("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH")]

Client = Callable[[str], redis.Redis]


@pytest.fixture
def client(valkey: str) -> Iterator[Client]:
    """`client("cart")` is a connection with the rights of that service."""
    with redis.Redis.from_url(valkey) as administrator:
        users = (*USERS, acl.EXPORTER)
        for line in acl.lines(SERVICES, {name: f"password-of-{name}" for name in users}).splitlines():
            administrator.execute_command("ACL", "SETUSER", *line.split()[1:])
        address = urlsplit(valkey)
        yield lambda name: redis.Redis(address.hostname, address.port, username=name, password=f"password-of-{name}")
        administrator.execute_command("ACL", "DELUSER", *users)


@pytest.mark.parametrize("service", USERS)
def test_a_service_uses_its_own_keys(client: Client, service: str) -> None:
    with client(service) as own:
        own.set(f"{service}:a", 1, ex=60)
        assert own.eval("return redis.call('GET', KEYS[1])", 1, f"{service}:a") == b"1"
        assert own.delete(f"{service}:a") == 1


@pytest.mark.parametrize(("service", "other"), list(permutations(USERS, 2)))
def test_a_service_cannot_use_the_keys_of_another(client: Client, service: str, other: str) -> None:
    with client(service) as own:
        for command in (("GET", f"{other}:a"), ("SET", f"{other}:a", "1"), ("DEL", f"{other}:a")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                own.execute_command(*command)
        with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)permission|can't access"):
            own.eval("return redis.call('GET', ARGV[1])", 0, f"{other}:a")


@pytest.mark.parametrize("command", ADMINISTRATION + OTHERS)
@pytest.mark.parametrize("service", USERS)
def test_a_service_cannot_administer_or_see_what_others_have(
    client: Client, service: str, command: tuple[str, ...]
) -> None:
    with client(service) as own, pytest.raises(redis.exceptions.NoPermissionError):
        own.execute_command(*command)


def test_the_exporter_reads_figures_and_no_key(client: Client) -> None:
    with client(acl.EXPORTER) as exporter:
        assert exporter.info("memory")["used_memory"] > 0
        for command in (("GET", "cart:a"), ("SET", "exporter:a", "1"), *ADMINISTRATION, *OTHERS):
            with pytest.raises(redis.exceptions.NoPermissionError):
                exporter.execute_command(*command)


def test_the_chart_gives_the_same_rights() -> None:
    template = (ROOT / "charts" / "infra" / "templates" / "valkey.yaml").read_text()
    _, *rights = acl.RIGHTS.split()
    given = re.findall(r'"(resetkeys|resetchannels|[+-]@?[a-z|]+)"', template)
    assert given == [*rights, *acl.EXPORTER_RIGHTS.split()]


def test_valkey_refuses_to_store_more_before_its_container_is_full() -> None:
    (most,) = re.findall(r"^maxmemory (\d+)mb$", (ROOT / "deploy" / "valkey" / "valkey.conf").read_text(), re.MULTILINE)
    compose = (ROOT / "compose.yaml").read_text().partition("\n  valkey:\n")[2]
    chart = (ROOT / "charts" / "infra" / "values.yaml").read_text().partition("\nvalkey:\n")[2]
    for limit in (re.search(r"mem_limit: (\d+)m", compose), re.search(r"limits: \{memory: (\d+)Mi\}", chart)):
        assert limit is not None
        assert int(most) <= int(limit[1]) * 2 / 3
