"""RabbitMQ's definitions are rendered with hashes, and name a password for every user."""

import base64
import json
import re
from pathlib import Path

import pytest

from shopctl import services
from shopctl.definitions import password_hash, render, template
from shopctl.services import Declaration, Messages, Services

SERVICES = services.load(Path(__file__).parents[3])
TEMPLATE = template(SERVICES)
BROKER_USERS = SERVICES.broker_users


def test_the_hash_is_the_one_of_rabbitmqs_documentation() -> None:
    salted = password_hash("test12", bytes.fromhex("908DC60A"))
    assert salted == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_equal_passwords_have_different_hashes() -> None:
    assert password_hash("same") != password_hash("same")


def test_rendering_leaves_no_placeholder_and_no_password() -> None:
    passwords = {user: f"secret-of-{user}" for user in BROKER_USERS}
    text = render(TEMPLATE, passwords)
    users = json.loads(text)["users"]
    assert {user["name"] for user in users} == set(BROKER_USERS)
    assert all(len(base64.b64decode(user["password_hash"])) == 36 for user in users)
    assert "secret-of-" not in text
    assert "${" not in text


def test_a_user_without_a_password_is_an_error() -> None:
    with pytest.raises(KeyError, match="OPERATOR"):
        render(TEMPLATE, dict.fromkeys(BROKER_USERS[:-1], "x"))


@pytest.mark.parametrize("types", [["a.b"], ["a+", "b|c", "(", "\\d"]])
def test_a_right_covers_the_declared_types_and_nothing_else(types: list[str]) -> None:
    one = Declaration("one", 8001, ("postgres", "rabbitmq"), messages=Messages(publishes=tuple(types)))
    other = Declaration("other", 8002, ("rabbitmq",), messages=Messages(consumes=tuple(types)))
    rights = json.loads(template(Services({"one": one, "other": other})))["topic_permissions"]
    (right,) = (each["write"] for each in rights if each["user"] == "one")
    assert all(re.search(right, type) for type in types)
    assert not any(re.search(right, type) for type in ("axb", "xa.bx", "aa", "b", "c", "7"))


def test_no_user_but_the_broker_itself_may_change_the_topology() -> None:
    permissions = json.loads(TEMPLATE)["permissions"]
    assert {each["user"] for each in permissions} == set(BROKER_USERS)
    assert {each["configure"] for each in permissions} == {"^$"}
