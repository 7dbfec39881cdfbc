"""A service can use only its own keys of Valkey, and cannot administer it."""

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from shopctl import acl, services

SERVICES = services.load(Path(__file__).parents[2])
USERS = SERVICES.valkey_users
ADMINISTRATION = [("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("MONITOR",), ("SHUTDOWN",)]

Client = Callable[[str], redis.Redis]


@pytest.fixture
def client(valkey: str) -> Iterator[Client]:
    """`client("cart")` is a connection with the rights of that service."""
    with redis.Redis.from_url(valkey) as administrator:
        for line in acl.lines(SERVICES, {name: f"password-of-{name}" for name in USERS}).splitlines():
            administrator.execute_command("ACL", "SETUSER", *line.split()[1:])
        address = urlsplit(valkey)
        yield lambda name: redis.Redis(address.hostname, address.port, username=name, password=f"password-of-{name}")
        administrator.execute_command("ACL", "DELUSER", *USERS)


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


@pytest.mark.parametrize("command", ADMINISTRATION)
@pytest.mark.parametrize("service", USERS)
def test_a_service_cannot_administer(client: Client, service: str, command: tuple[str, ...]) -> None:
    with client(service) as own, pytest.raises(redis.exceptions.NoPermissionError):
        own.execute_command(*command)
