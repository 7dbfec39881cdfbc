"""What the page of an order says about its steps."""

import tomllib
from pathlib import Path

import pytest

from storefront.models.cards import CARDS
from storefront.models.progress import CANCELLABLE, FAILED, MADE, NEXT, failure_of, settled

SERVICES = Path(__file__).parents[3]


def messages(service: str, kind: str) -> set[str]:
    with (SERVICES / service / "pyproject.toml").open("rb") as file:
        return set(tomllib.load(file)["tool"]["quayside"]["messages"][kind])


def test_each_message_is_one_that_its_service_publishes_and_order_consumes() -> None:
    named = {(made.service, made.message) for made in MADE.values() if made.message}
    assert all(message in messages(service, "publishes") for service, message in named)
    assert {message for _, message in named} == messages("order", "consumes")


def test_what_order_sends_are_all_the_messages_that_it_publishes() -> None:
    assert {message for made in MADE.values() for message in made.sent} == messages("order", "publishes")


def test_the_states_are_those_of_order() -> None:
    models = (SERVICES / "order/src/order/models.py").read_text()
    states = {line.split('"')[1] for line in models.splitlines() if line.startswith("    ") and ' = "' in line}
    assert set(MADE) == {state for state in states if state.isupper()}
    assert set(NEXT) | CANCELLABLE | FAILED <= set(MADE)


def test_the_cards_are_those_of_the_sandbox_provider() -> None:
    models = (SERVICES / "psp/src/psp/models.py").read_text()
    assert set(CARDS["psp"]) == {part.split('"')[0] for part in models.split('    "') if part.startswith("tok_")}


def test_each_provider_of_payment_has_cards() -> None:
    (choice,) = [
        line for line in (SERVICES / "payment/src/payment/settings.py").read_text().splitlines() if "Literal[" in line
    ]
    assert list(CARDS) == choice.split('"')[1::2][:-1]


def test_a_step_by_a_request_names_no_service_because_any_client_of_order_may_have_sent_it() -> None:
    without_message = {status: made.service for status, made in MADE.items() if made.message is None}
    assert without_message == {"PENDING": None, "CANCELLING": None, "REFUNDING": None, "EXPIRING": "order"}


@pytest.mark.parametrize("status", ["CONFIRMED", "REFUNDED", *FAILED, "A_STATE_OF_TOMORROW"])
def test_a_page_does_not_wait_after_the_last_step(status: str) -> None:
    assert settled(status)


@pytest.mark.parametrize(
    ("given", "reason", "skus"),
    [
        (None, "", set()),
        ("declined", "declined", set()),
        ("sold-out: MUG-1, BAG-2", "sold-out", {"MUG-1", "BAG-2"}),
        ("released", "released", set()),
    ],
)
def test_a_reason_names_the_products_concerned(given: str | None, reason: str, skus: set[str]) -> None:
    found = failure_of(given)
    assert (found.reason, found.skus) == (reason, skus)
