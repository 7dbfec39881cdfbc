"""Stripe's adapter: its requests as stripe-mock validates them, and what it makes of each of Stripe's answers."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.ids import uuid7
from payment.clients.stripe import StripeProvider
from payment.models import REQUIRES_ACTION, Answer, Outcome, Payment, State

from .stripe_api import StripeApi, serving

STRIPE_MOCK = "github.com/stripe/stripe-mock@v0.203.0"
KEY = SecretStr("sk_test_123")
SECRET = SecretStr("whsec_of_the_tests")


def payment(method: str = "pm_card_visa", **changed: Any) -> Payment:
    given = {"state": State.REQUESTED, "amount": 4200, "currency": "EUR", "provider": "stripe", "attempts": 1}
    return Payment(uuid7(), payment_method=method, as_of=datetime.now(UTC), **given | changed)


def refunding(asked: Payment, answer: Answer, attempts: int = 1) -> Payment:
    return replace(asked, state=State.REFUNDING, provider_reference=answer.reference, attempts=attempts)


def provider_at(url: str, timeout: float = 5) -> StripeProvider:
    return StripeProvider(KEY, SECRET, base=url, timeout=timeout, connections=8)


# --- its requests, validated by stripe-mock against Stripe's OpenAPI document ----------------------


@pytest.fixture(scope="module")
def stripe_mock(pytestconfig: pytest.Config) -> Iterator[str]:
    program = os.environ.get("STRIPE_MOCK") or shutil.which("stripe-mock") or built(pytestconfig)
    command = [program, "-http-addr", "127.0.0.1:"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        lines = [line for line, _ in zip(running.stdout, range(3), strict=False)]
        yield "http://" + lines[-1].rpartition(" ")[2].strip()
        running.kill()


def built(config: pytest.Config) -> str:
    """Compiles stripe-mock once, into pytest's cache, which Git ignores."""
    if shutil.which("go") is None:
        pytest.skip("stripe-mock is not installed (STRIPE_MOCK, PATH), and there is no Go to compile it with")
    folder = config.cache.mkdir("stripe-mock")
    program = folder / "stripe-mock"
    if not program.exists():
        environment = os.environ | {"GOBIN": str(folder)}
        try:
            command = ["go", "install", STRIPE_MOCK]
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"stripe-mock does not compile: {error}: {str(error.stderr)[-300:]}")
    return str(program)


@pytest.mark.timeout(400)
async def test_stripe_mock_takes_every_request(stripe_mock: str) -> None:
    """It refuses unknown and missing parameters. Its PaymentIntents all wait for a payment method."""
    asked = payment()
    async with provider_at(stripe_mock) as provider:
        charge = await provider.charge(asked)
        assert charge.reference is not None
        assert charge.reference.startswith("pi_")
        waiting = (Outcome.UNKNOWN, "requires_payment_method")
        assert (charge.outcome, charge.reason) == waiting
        for sought in (asked, replace(asked, provider_reference=charge.reference)):
            found = await provider.find(sought)
            assert (found.outcome, found.reason) == waiting
        refund = refunding(asked, charge)
        assert await provider.refund(refund) == Answer(Outcome.SUCCEEDED)
        assert await provider.find(refund) == Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)


# --- Stripe's answers, as its documentation gives them ---------------------------------------------


@pytest.fixture
def api() -> StripeApi:
    return StripeApi()


@pytest.fixture
async def url(api: StripeApi) -> AsyncIterator[str]:
    async with serving(api) as url:
        yield url


@pytest.fixture
async def provider(url: str) -> AsyncIterator[StripeProvider]:
    async with provider_at(url, timeout=30) as provider:
        yield provider


@pytest.fixture
async def hasty(url: str) -> AsyncIterator[StripeProvider]:
    """A provider for requests whose answer does not come."""
    async with provider_at(url, timeout=0.5) as provider:
        yield provider


def statuses(api: StripeApi) -> list[str]:
    return [intent["status"] for intent in api.intents.values()]


async def test_a_charge_succeeds_under_our_key_and_carries_the_order_id(
    provider: StripeProvider, api: StripeApi
) -> None:
    asked = payment("pm_1NXWPnLkdIwHu7ix")
    answer = await provider.charge(asked)
    (intent,) = api.intents.values()
    assert answer == Answer(Outcome.SUCCEEDED, reference=intent["id"])
    assert api.keys == [f"{asked.order_id}:charge"]
    assert (intent["amount"], intent["currency"]) == (4200, "eur")
    assert intent["metadata"] == {"order_id": str(asked.order_id)}


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_authenticationRequired", REQUIRES_ACTION),
        ("pm_card_threeDSecure2Required", REQUIRES_ACTION),
    ],
)
async def test_a_refused_charge_is_closed_so_that_it_takes_no_money_later(
    provider: StripeProvider, api: StripeApi, method: str, reason: str
) -> None:
    answer = await provider.charge(payment(method))
    assert (answer.outcome, answer.reason) == (Outcome.REFUSED, reason)
    assert answer.reference in api.intents
    assert statuses(api) == ["canceled"]


@pytest.mark.parametrize("trouble", ["lost", "unheard", 429])
async def test_a_charge_that_could_not_be_closed_is_not_refused_yet(
    provider: StripeProvider, hasty: StripeProvider, api: StripeApi, trouble: Any
) -> None:
    asked = payment("pm_card_visa_chargeDeclined")
    api.troubles = [None, trouble]
    assert (await hasty.charge(asked)).outcome is Outcome.UNKNOWN
    assert (await provider.charge(asked)).outcome is Outcome.REFUSED
    assert statuses(api) == ["canceled"]


async def test_a_refused_charge_is_found_with_its_reason(provider: StripeProvider, api: StripeApi) -> None:
    for method, reason in (
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_authenticationRequired", REQUIRES_ACTION),
    ):
        asked = payment(method)
        await provider.charge(asked)
        found = await provider.find(asked)
        assert (found.outcome, found.reason) == (Outcome.REFUSED, reason)


async def test_a_request_that_is_not_valid_is_refused_and_leaves_nothing(
    provider: StripeProvider, api: StripeApi
) -> None:
    assert await provider.charge(payment("pm_unknown")) == Answer(Outcome.REFUSED, "resource_missing")
    assert api.intents == {}


async def test_a_currency_with_another_smallest_unit_is_refused_unasked(
    provider: StripeProvider, api: StripeApi
) -> None:
    assert (await provider.charge(payment(currency="ISK"))).outcome is Outcome.REFUSED
    assert (await provider.charge(payment(currency="JPY"))).outcome is Outcome.SUCCEEDED
    assert [intent["currency"] for intent in api.intents.values()] == ["jpy"]


@pytest.mark.parametrize("trouble", ["lost", "unheard"])
async def test_after_a_timeout_the_same_key_takes_the_money_once(
    provider: StripeProvider, hasty: StripeProvider, api: StripeApi, trouble: str
) -> None:
    asked = payment()
    api.troubles = [trouble]
    assert await hasty.charge(asked) == Answer(Outcome.UNKNOWN, "no-answer")
    assert (await provider.charge(asked)).outcome is Outcome.SUCCEEDED
    assert api.keys == [asked.key] * 2
    assert api.taken == 4200


@pytest.mark.parametrize(
    ("status", "reason", "stuck"),
    [
        (401, "invalid_request_error", True),
        (409, "idempotency_key_in_use", False),
        (429, "rate_limit", False),
    ],
)
async def test_an_error_that_says_nothing_about_the_money_refuses_nothing(
    provider: StripeProvider, api: StripeApi, status: int, reason: str, stuck: bool
) -> None:
    asked = payment()
    api.troubles = [status]
    assert await provider.charge(asked) == Answer(Outcome.UNKNOWN, reason, stuck=stuck)
    assert (await provider.charge(asked)).outcome is Outcome.SUCCEEDED


async def test_a_500_that_stripe_repeats_is_looked_up_by_the_order_id(provider: StripeProvider, api: StripeApi) -> None:
    asked = payment()
    api.troubles = ["failed"]
    api.searchable = False
    assert await provider.charge(asked) == Answer(Outcome.UNKNOWN, "api_error")
    assert await provider.charge(asked) == Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)
    api.searchable = True
    assert (await provider.charge(asked)).outcome is Outcome.SUCCEEDED


async def test_a_charge_that_is_processing_is_read_until_it_is_settled(
    provider: StripeProvider, api: StripeApi
) -> None:
    asked = payment("pm_processing")
    answer = await provider.charge(asked)
    assert (answer.outcome, answer.reason, answer.stuck) == (Outcome.UNKNOWN, "processing", False)
    (intent,) = api.intents.values()
    intent |= {"status": "succeeded", "amount_received": 4200}
    asked = replace(asked, provider_reference=answer.reference)
    assert (await provider.charge(asked)).outcome is Outcome.SUCCEEDED, "its key would only repeat the first answer"
    assert api.keys == [asked.key]


async def test_what_stripe_may_have_forgotten_is_found_by_the_order_id(
    provider: StripeProvider, api: StripeApi
) -> None:
    asked, unknown = payment(), payment()
    await provider.charge(asked)
    assert (await provider.find(asked)).outcome is Outcome.SUCCEEDED
    assert await provider.find(unknown) == Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)
    assert api.keys == [asked.key], "nothing is sent again"


async def test_a_refund_gives_the_money_back_under_a_key_of_its_own(provider: StripeProvider, api: StripeApi) -> None:
    asked = payment()
    refund = refunding(asked, await provider.charge(asked))
    assert await provider.find(refund) == Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)
    assert await provider.refund(refund) == Answer(Outcome.SUCCEEDED)
    assert await provider.find(refund) == Answer(Outcome.SUCCEEDED)
    assert api.keys == [f"{asked.order_id}:charge", f"{asked.order_id}:refund"]
    assert api.taken == 0


@pytest.mark.parametrize("trouble", ["lost", "unheard", "failed"])
async def test_a_refund_that_was_not_answered_is_made_once(
    provider: StripeProvider, hasty: StripeProvider, api: StripeApi, trouble: str
) -> None:
    asked = payment()
    refund = refunding(asked, await provider.charge(asked))
    api.troubles = [trouble]
    assert (await hasty.refund(refund)).outcome is Outcome.UNKNOWN
    assert await provider.refund(replace(refund, attempts=2)) == Answer(Outcome.SUCCEEDED)
    assert len(api.refunds) == 1


async def test_a_refund_of_a_charge_without_a_reference_finds_the_charge_first(
    provider: StripeProvider, api: StripeApi
) -> None:
    """A release that knew only the sandbox stored no reference, or recorded a charge that Stripe never made."""
    asked, unmade = payment(), payment()
    await provider.charge(asked)
    no_charge = Answer(Outcome.UNKNOWN, "no-charge-on-record", stuck=True)
    for sought in (replace(unmade, state=State.REFUNDING), replace(unmade, state=State.REFUNDING, attempts=2)):
        assert await provider.refund(sought) == no_charge
        assert await provider.find(sought) == no_charge
    assert api.refunds == {}
    refund = replace(asked, state=State.REFUNDING)
    assert await provider.refund(refund) == Answer(Outcome.SUCCEEDED)
    assert await provider.find(refund) == Answer(Outcome.SUCCEEDED)
    assert api.taken == 0


async def test_a_refund_that_is_pending_is_read_until_it_is_settled(provider: StripeProvider, api: StripeApi) -> None:
    asked = payment()
    refund = refunding(asked, await provider.charge(asked))
    api.refund_status = "pending"
    assert await provider.refund(refund) == Answer(Outcome.UNKNOWN, "pending")
    assert await provider.refund(replace(refund, attempts=2)) == Answer(Outcome.UNKNOWN, "pending")
    next(iter(api.refunds.values()))["status"] = "succeeded"
    assert await provider.refund(replace(refund, attempts=3)) == Answer(Outcome.SUCCEEDED)
    assert len(api.refunds) == 1


async def test_a_refund_that_failed_waits_for_an_operator_who_makes_another(
    provider: StripeProvider, api: StripeApi
) -> None:
    asked = payment()
    charged = await provider.charge(asked)
    refund = refunding(asked, charged)
    api.refund_status = "failed"
    failed = Answer(Outcome.REFUSED, "expired_or_canceled_card", stuck=True)
    assert await provider.refund(refund) == failed
    assert await provider.refund(replace(refund, attempts=2)) == failed
    api.refund_status = "succeeded"
    api.refund({"payment_intent": charged.reference or "", "amount": "4200"})  # in Stripe's Dashboard
    assert await provider.refund(replace(refund, attempts=3)) == Answer(Outcome.SUCCEEDED)


async def test_stripe_down_gives_no_answer() -> None:
    async with provider_at("http://127.0.0.1:9", timeout=0.5) as dead:
        assert await dead.charge(payment()) == Answer(Outcome.UNKNOWN, "no-answer")
        assert await dead.find(payment()) == Answer(Outcome.UNKNOWN, "no-answer")


async def test_calls_share_a_bounded_number_of_connections(provider: StripeProvider, api: StripeApi) -> None:
    answers = await asyncio.gather(*(provider.charge(payment()) for _ in range(40)))
    assert {answer.outcome for answer in answers} == {Outcome.SUCCEEDED}
