"""Money moves once for a key, and only what was captured is refunded; on a real SQLite file."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chassis.testing.clock import clock_off
from psp import repository, usecases
from psp.models import Entry, Refusal, Settled, Status, Trouble
from psp.repository import Store

from .conftest import charge


async def refund(store: Store, key: str, amount: int) -> Settled:
    return await usecases.refund(store, key=key, order_id="o1", charge_id=None, amount=amount)


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("tok_visa", Status.SUCCEEDED, None),
        ("tok_slow", Status.SUCCEEDED, None),
        ("tok_lost_reply", Status.SUCCEEDED, None),
        ("tok_declined", Status.FAILED, "declined"),
        ("tok_insufficient_funds", Status.FAILED, "insufficient_funds"),
        ("tok_\x00\N{SNOWMAN}", Status.FAILED, "unknown_payment_method"),
    ],
)
async def test_each_token(store: Store, method: str, status: Status, reason: str | None) -> None:
    settled = await charge(store, method=method)
    assert (settled.entry.status, settled.entry.reason) == (status, reason)


@pytest.mark.parametrize(("method", "trouble"), [("tok_slow", Trouble.SLOW), ("tok_lost_reply", Trouble.LOST_REPLY)])
async def test_a_token_affects_only_the_first_answer(store: Store, method: str, trouble: Trouble) -> None:
    first = await charge(store, method=method)
    again = await charge(store, method=method)
    assert (first.trouble, again.trouble) == (trouble, Trouble.NONE)
    assert again.entry == first.entry
    assert again.replayed


async def test_fifty_requests_with_one_key_move_money_once(store: Store) -> None:
    answers = await asyncio.gather(*(charge(store) for _ in range(50)))
    assert len({answer.entry.id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(await usecases.ledger(store, 0, 100)) == 1


async def test_a_key_is_bound_to_its_request(store: Store) -> None:
    await charge(store)
    with pytest.raises(Refusal, match="key-reused"):
        await charge(store, amount=1001)
    with pytest.raises(Refusal, match="key-reused"):
        await refund(store, "o1:charge", 1000)


async def test_refunds_never_exceed_the_capture(store: Store) -> None:
    await charge(store)
    answers = await asyncio.gather(*(refund(store, f"refund-{n}", 400) for n in range(5)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(refused) == 3
    assert {refusal.slug for refusal in refused} == {"refund-exceeds-capture"}
    assert [refunded for _, refunded in await usecases.charges(store, "o1")] == [800]


async def test_a_refused_refund_leaves_its_key_free(store: Store) -> None:
    with pytest.raises(Refusal, match="charge-not-found"):
        await refund(store, "o1:refund", 1000)
    await charge(store, method="tok_declined")
    with pytest.raises(Refusal, match="charge-not-found"):
        await refund(store, "o1:refund", 1000)
    await charge(store, key="second")
    assert not (await refund(store, "o1:refund", 1000)).replayed
    assert (await refund(store, "o1:refund", 1000)).replayed


async def test_an_order_with_two_captures_can_refund_both(store: Store) -> None:
    first, second = await charge(store, "a"), await charge(store, "b")
    refunds = [await refund(store, f"refund-{n}", 1000) for n in range(2)]
    assert [r.entry.charge_id for r in refunds] == [first.entry.id, second.entry.id]


async def test_the_ledger_lists_captures_and_refunds_in_pages(store: Store) -> None:
    await charge(store, "a")
    await charge(store, "b", method="tok_declined")
    await refund(store, "c", 300)
    (seq, captured), *_ = page = await usecases.ledger(store, 0, 1)
    assert len(page) == 1
    assert (captured.key, captured.amount) == ("a", 1000)
    assert [(e.key, e.amount) for _, e in await usecases.ledger(store, seq, 10)] == [("c", 300)]


class Sender:
    """Accepts webhooks, or refuses them all."""

    def __init__(self, takes: bool = True) -> None:
        self.takes = takes
        self.sent: list[Entry] = []

    async def send(self, entry: Entry) -> bool:
        self.sent.append(entry)
        return self.takes


async def test_only_results_whose_answer_may_be_lost_are_announced(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usecases, "LATE", usecases.LATE * 0)
    await charge(store, "seen")
    lost = await charge(store, "lost", trouble=Trouble.LOST_REPLY)
    sender = Sender()
    await usecases.deliver_webhooks(store, sender)
    await usecases.deliver_webhooks(store, sender)
    assert sender.sent == [lost.entry]


async def test_a_failed_webhook_is_repeated_and_given_up_in_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = await charge(store)
    await usecases.announce(store, settled.entry)
    sender = Sender(takes=False)
    short = usecases._delay
    monkeypatch.setattr(usecases, "_delay", lambda attempts: 1000 * short(attempts))  # longer than a disk may take
    await usecases.deliver_webhooks(store, sender)
    await usecases.deliver_webhooks(store, sender)
    assert len(sender.sent) == 1, "it backs off"
    monkeypatch.setattr(usecases, "WEBHOOK_MAX_DELAY", usecases.LATE * 0)
    await usecases.announce_order(store, "o1")
    for _ in range(usecases.WEBHOOK_ATTEMPTS + 5):
        await usecases.deliver_webhooks(store, sender)
    assert len(sender.sent) == 1 + usecases.WEBHOOK_ATTEMPTS


async def test_a_result_that_is_announced_again_during_a_delivery_is_delivered_again(store: Store) -> None:
    settled = await charge(store)
    await usecases.announce(store, settled.entry)

    class Interrupted(Sender):
        async def send(self, entry: Entry) -> bool:
            if not self.sent:
                await asyncio.sleep(0.01)
                await usecases.announce_order(store, "o1")
            return await super().send(entry)

    sender = Interrupted()
    for _ in range(3):
        await usecases.deliver_webhooks(store, sender)
    assert sender.sent == [settled.entry] * 2


async def test_a_start_announces_the_last_results(store: Store) -> None:
    settled = await charge(store)
    await usecases.announce_last(store)
    sender = Sender()
    await usecases.deliver_webhooks(store, sender)
    assert sender.sent == [settled.entry]


@pytest.mark.parametrize("seconds", [-600, -60, 60, 600])
async def test_setting_the_clock_neither_delays_nor_hastens_webhooks(
    store: Store, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(usecases, "LATE", timedelta(seconds=50))
    due = await charge(store, "due")
    await usecases.announce(store, due.entry)
    await charge(store, "later", trouble=Trouble.LOST_REPLY)
    sender = Sender()
    with clock_off(seconds):
        await usecases.deliver_webhooks(store, sender)
        assert sender.sent == [due.entry]

        during = await charge(store, "during")
        await usecases.announce(store, during.entry)
    await usecases.deliver_webhooks(store, sender)
    assert sender.sent == [due.entry, during.entry]


async def test_a_start_after_the_clock_was_set_back_delays_no_webhook(store: Store) -> None:
    waiting = await charge(store)
    ahead = datetime.now(UTC) + timedelta(seconds=600)
    await store.run(lambda tx: repository.queue_webhook(tx, waiting.entry.key, ahead))
    await usecases.announce_last(store)
    sender = Sender()
    await usecases.deliver_webhooks(store, sender)
    assert sender.sent == [waiting.entry]
