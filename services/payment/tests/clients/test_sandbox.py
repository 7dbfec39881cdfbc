"""The sandbox's adapter against the real sandbox."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.ids import uuid7
from payment.clients.sandbox import SandboxProvider
from payment.models import Answer, Outcome, Payment, State

SECRET = SecretStr("that-calls-do-not-use")
NOT_ON_RECORD = Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)


@pytest.fixture
async def provider(psp_url: str) -> AsyncIterator[SandboxProvider]:
    async with SandboxProvider(psp_url, SECRET, timeout=30, connections=4) as provider:
        yield provider


@pytest.fixture
async def hasty(psp_url: str) -> AsyncIterator[SandboxProvider]:
    """A provider that waits for an answer for a shorter time than a slow one takes."""
    async with SandboxProvider(psp_url, SECRET, timeout=0.5, connections=4) as provider:
        yield provider


def payment(method: str = "tok_visa", **changed: Any) -> Payment:
    given = {"state": State.REQUESTED, "amount": 4200, "currency": "EUR", "provider": "psp", **changed}
    return Payment(uuid7(), payment_method=method, as_of=datetime.now(UTC), **given)


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        ("tok_visa", Answer(Outcome.SUCCEEDED), Answer(Outcome.SUCCEEDED)),
        ("tok_declined", *[Answer(Outcome.REFUSED, "declined", stuck=True)] * 2),
        ("tok_insufficient_funds", *[Answer(Outcome.REFUSED, "insufficient_funds", stuck=True)] * 2),
        ("pm_1NXWPnLkdIwHu7ix", *[Answer(Outcome.REFUSED, "unknown_payment_method", stuck=True)] * 2),
        ("tok_slow", Answer(Outcome.UNKNOWN, "no-answer"), Answer(Outcome.SUCCEEDED)),
        ("tok_lost_reply", Answer(Outcome.UNKNOWN, "no-answer"), Answer(Outcome.SUCCEEDED)),
        ("x" * 300, *[Answer(Outcome.REFUSED, "invalid-request", stuck=True)] * 2),
    ],
)
async def test_each_token(
    provider: SandboxProvider, hasty: SandboxProvider, method: str, first: Answer, second: Answer
) -> None:
    asked = payment(method)
    answers = [await (hasty if method == "tok_slow" else provider).charge(asked), await provider.charge(asked)]
    assert [replace(answer, reference=None) for answer in answers] == [first, second]


async def test_a_charge_is_named_by_the_sandboxs_own_id(provider: SandboxProvider) -> None:
    asked = payment()
    first, second, found = await provider.charge(asked), await provider.charge(asked), await provider.find(asked)
    assert first.reference is not None
    assert first.reference.startswith("ch_")
    assert first == second == found


async def test_refund_and_look_up(provider: SandboxProvider) -> None:
    asked = payment()
    refund = replace(asked, state=State.REFUNDING)
    assert await provider.find(asked) == NOT_ON_RECORD
    assert (await provider.refund(refund)).outcome is Outcome.REFUSED
    await provider.charge(asked)
    assert (await provider.find(asked)).outcome is Outcome.SUCCEEDED
    assert await provider.find(refund) == NOT_ON_RECORD
    assert (await provider.refund(refund)).outcome is Outcome.SUCCEEDED
    assert (await provider.find(refund)).outcome is Outcome.SUCCEEDED


async def test_a_declined_charge_is_found_with_its_reason(provider: SandboxProvider) -> None:
    asked = payment("tok_declined")
    await provider.charge(asked)
    found = await provider.find(asked)
    assert (found.outcome, found.reason) == (Outcome.REFUSED, "declined")


async def test_a_key_that_was_used_for_another_amount_does_not_refuse_the_charge(provider: SandboxProvider) -> None:
    asked = payment()
    await provider.charge(asked)
    other = replace(asked, amount=1)
    assert await provider.charge(other) == Answer(Outcome.UNKNOWN, "key-reused", stuck=True)


async def test_a_provider_that_is_down_gives_no_answer() -> None:
    async with SandboxProvider("http://127.0.0.1:9", SECRET, timeout=0.5, connections=1) as dead:
        assert await dead.charge(payment()) == Answer(Outcome.UNKNOWN, "no-answer")
        assert await dead.find(payment()) == NOT_ON_RECORD
