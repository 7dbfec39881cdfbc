"""A service's declaration is checked when it is read: a mistake is named, with its file."""

from pathlib import Path
from typing import Any

import pytest

from chassis.local.processes import StartError
from shopctl import derived, services
from shopctl.place import PORTS
from shopctl.services import RESERVED, Declaration, Services, declaration

ROOT = Path(__file__).parents[3]


def clone(root: Path, **tables: str) -> Path:
    """A clone in which each of these services has this table."""
    for name, table in tables.items():
        (root / "services" / name).mkdir(parents=True)
        (root / "services" / name / "pyproject.toml").write_text(table)
    return root


def test_the_lists_follow_from_the_declarations() -> None:
    loaded = services.load(ROOT)
    shop = Services({name: loaded[name] for name in ("catalog", "cart", "order", "payment", "identity", "psp")})
    assert list(loaded) == sorted(loaded, key=lambda each: each.port)
    assert shop.databases == ("catalog", "order", "payment", "identity")
    assert shop.consumers == ("catalog", "cart", "order", "payment")
    assert shop.outboxes == shop.inboxes == shop.audited == ("catalog", "order", "payment")
    assert shop.broker_users == (*shop.consumers, "operator")
    assert shop.upstreams == ("catalog", "cart", "order", "payment", "identity")
    assert shop.consumers_of("order.confirmed.v1") == ("catalog", "cart")


def test_a_service_may_have_no_database_no_messages_and_the_root_of_all_paths() -> None:
    found = declaration("storefront", {"port": 8006, "stores": ["valkey"], "routes": ["/"], "calls": ["identity"]})
    assert found == Declaration("storefront", 8006, ("valkey",), ("/",), ("identity",))
    assert found.specification == "/openapi.json"


def test_where_there_is_no_clone_the_derived_file_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shop = services.load(ROOT)
    (tmp_path / services.COLLECTED).write_text(derived.collected(shop))
    assert services.load(tmp_path) == shop


def test_a_place_without_declarations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"services\.json: No such file"):
        services.load(tmp_path)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, "missing required field `port`"),
        ({"port": "8006"}, r"Expected `int`, got `str` - at `\$.port`"),
        ({"port": 80}, r">= 1024 - at `\$.port`"),
        ({"port": 8006, "store": ["postgres"]}, "unknown field `store`"),
        ({"port": 8006, "messages": {"sends": []}}, "unknown field `sends`"),
        ({"port": 8006, "messages": ["order.confirmed.v1"]}, "Expected `object`"),
        ({"port": 8006, "stores": "postgres"}, "Expected `array`, got `str`"),
        ({"port": 8006, "calls": [1]}, "Expected `str`, got `int`"),
        ({"port": 8006, "stores": ["mysql"]}, "Invalid enum value 'mysql'"),
        ({"port": 8006, "routes": ["api/reviews"]}, "matching regex"),
        ({"port": 8006, "routes": ["/api/reviews/"]}, "matching regex"),
        ({"port": 8006, "messages": {"consumes": ["order.confirmed.v1"]}}, '"rabbitmq" among its stores'),
        ({"port": 8006, "stores": ["rabbitmq"], "messages": {"publishes": ["a.b.v1"]}}, '"postgres" among its stores'),
    ],
)
def test_a_mistake_in_a_declaration_is_named(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(StartError, match=reason) as caught:
        declaration("reviews", table)
    assert str(caught.value).startswith("services/reviews/pyproject.toml")


@pytest.mark.parametrize("name", ["Reviews", "product-reviews", "2d"])
def test_a_service_s_name_is_one_of_a_package(name: str) -> None:
    with pytest.raises(StartError, match="matching regex"):
        declaration(name, {"port": 8006})


@pytest.mark.parametrize("name", ["auditor", "operator", "guest", "databases", "audit", "edge", "shopctl", "template0"])
def test_a_service_does_not_have_the_name_of_something_else(name: str) -> None:
    with pytest.raises(StartError, match=f"services/{name}/pyproject.toml: the name {name} is reserved"):
        declaration(name, {"port": 8006})


def test_the_names_of_our_packages_ports_and_broker_users_are_reserved() -> None:
    shop = services.load(ROOT)
    packages = {file.parent.name for each in ("libs", "tools") for file in (ROOT / each).glob("*/pyproject.toml")}
    others = packages | {*shop.broker_users} - {*shop.names} | {name for name in PORTS if name.isalnum()}
    assert others <= RESERVED


@pytest.mark.parametrize(
    "type",
    ["order", "order.v1", "order.Confirmed.v1", "order.confirmed", "order.*.v1", "order.a|b.v1", "order.paid.v1\n"],
)
@pytest.mark.parametrize("way", ["publishes", "consumes"])
def test_a_message_type_has_a_service_a_name_and_a_version(way: str, type: str) -> None:
    table = {"port": 8006, "stores": ["postgres", "rabbitmq"], "messages": {way: [type]}}
    with pytest.raises(StartError) as caught:
        declaration("reviews", table)
    assert f"pyproject.toml: {type!r} is not a message type like 'order.confirmed.v1'" in str(caught.value)


def test_a_folder_without_a_declaration_is_named(tmp_path: Path) -> None:
    root = clone(tmp_path, reviews="[project]\nname = 'quayside-reviews'\n")
    with pytest.raises(StartError, match=r"services/reviews/pyproject.toml has no \[tool.quayside\]"):
        services.load(root)


def test_a_pyproject_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"services/reviews/pyproject.toml: "):
        services.load(clone(tmp_path, reviews="[tool.quayside"))


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("port = 8001", "port = 8001", "port 8001 is taken by one and other"),
        ("port = 8001\nroutes = ['/a']", "port = 8002\nroutes = ['/a']", "route /a belongs to several services"),
        ("port = 8001\ncalls = ['third']", "port = 8002", "one calls third"),
        ("port = 8001\ncalls = ['one']", "port = 8002", "one calls one"),
        (
            "port = 8001\nstores = ['rabbitmq']\nmessages.consumes = ['a.b.v1']",
            "port = 8002",
            "a.b.v1 is consumed, but no service publishes it",
        ),
        (
            "port = 8001\nstores = ['rabbitmq', 'postgres']\nmessages.publishes = ['a.b.v1']",
            "port = 8002",
            "a.b.v1 is published, but no service consumes it",
        ),
    ],
)
def test_declarations_that_contradict_one_another_are_named(tmp_path: Path, one: str, other: str, reason: str) -> None:
    root = clone(tmp_path, one=f"[tool.quayside]\n{one}", other=f"[tool.quayside]\n{other}")
    with pytest.raises(StartError, match=reason):
        services.load(root)


def test_the_derived_files_are_as_the_declarations_say() -> None:
    assert [str(path) for path in derived.stale(ROOT, services.load(ROOT))] == []


def test_a_derived_file_that_is_stale_is_found(tmp_path: Path) -> None:
    shop = Services({"reviews": Declaration("reviews", 8006)})
    assert services.COLLECTED in derived.stale(tmp_path, shop)
    with pytest.raises(StartError, match=r"Run it again"):
        derived.check_all(tmp_path, shop)
