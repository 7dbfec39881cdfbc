"""Inputs come twice, late and in any order: money is taken at most once, and given back after a cancel."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payment import models
from payment.messages import Cancelled, Captured, Failed
from payment.models import Answer, Operation, Outcome, Payment, Reply, State

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ORDER = UUID(int=1)
NEW = Payment(ORDER, State.REQUESTED, 4200, "EUR", "tok_visa", next_attempt_at=NOW, as_of=NOW)

LEGAL = {
    (State.REQUESTED, State.CAPTURED),
    (State.REQUESTED, State.FAILED),
    (State.REQUESTED, State.UNKNOWN),
    (State.REQUESTED, State.CANCELLED),
    (State.REQUESTED, State.REFUNDING),
    (State.UNKNOWN, State.CAPTURED),
    (State.UNKNOWN, State.FAILED),
    (State.UNKNOWN, State.CANCELLED),
    (State.UNKNOWN, State.REFUNDING),
    (State.CAPTURED, State.REFUNDING),
    (State.REFUNDING, State.REFUNDED),
    (State.REFUNDED, State.REFUNDING),
    (State.FAILED, State.CANCELLED),
}


@dataclass(frozen=True)
class Call:
    """A call to the provider, with its answer once it has been carried out."""

    operation: Operation
    amount: int
    answer: Answer | None = None


class PaymentMachine(RuleBasedStateMachine):
    """One payment, a provider with a ledger, and calls that hang, are lost, or are answered twice or late."""

    payment: Payment | None = None
    replies: list[Reply]
    calls: list[Call]
    definite: dict[Operation, Answer]
    captures = 0
    balance = 0
    cancels = 0

    @initialize(declines=st.booleans())
    def begin(self, declines: bool) -> None:
        self.declines, self.replies, self.calls, self.definite = declines, [], [], {}

    def move(self, after: Payment, reply: Reply | None) -> None:
        assert self.payment is not None
        before, self.payment = self.payment, after
        assert before.state == after.state or (before.state, after.state) in LEGAL
        assert (after.next_attempt_at is not None) == (after.operation is not None)
        if reply is not None:
            self.replies.append(reply)

    @rule()
    def charge(self) -> None:
        if self.payment is None:  # the insert does nothing otherwise
            self.payment = NEW

    @rule()
    def cancel(self) -> None:
        self.cancels += 1
        if self.payment is None:
            self.payment = Payment(ORDER, State.CANCELLED, as_of=NOW)
        self.move(*models.cancel(self.payment))

    @precondition(lambda self: self.payment is not None and self.payment.operation is not None)
    @rule()
    def lease(self) -> None:
        assert self.payment is not None
        assert self.payment.operation is not None
        self.payment = replace(self.payment, attempts=self.payment.attempts + 1)
        self.calls.append(Call(self.payment.operation, self.payment.amount or 0))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def carry_out(self, data: st.DataObject) -> None:
        """The request reaches the provider, perhaps long after the driver gave up."""
        index = data.draw(st.integers(0, len(self.calls) - 1))
        call = self.calls[index]
        if call.operation not in self.definite:
            refused = self.declines and call.operation is Operation.CHARGE
            self.definite[call.operation] = Answer(Outcome.REFUSED if refused else Outcome.SUCCEEDED)
            if not refused:
                self.captures += call.operation is Operation.CHARGE
                self.balance += call.amount if call.operation is Operation.CHARGE else -call.amount
        self.calls[index] = replace(call, answer=self.definite[call.operation])

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), heard=st.booleans(), again=st.booleans(), jitter=st.floats(0, 1))
    def answer(self, data: st.DataObject, heard: bool, again: bool, jitter: float) -> None:
        """An answer or a timeout. The same call may end more than once, after its lease has ended."""
        index = data.draw(st.integers(0, len(self.calls) - 1))
        call = self.calls[index] if again else self.calls.pop(index)
        self.hear(call.operation, call.answer if heard and call.answer else Answer(Outcome.UNKNOWN), jitter)

    def hear(self, operation: Operation, answer: Answer, jitter: float = 0.5) -> None:
        assert self.payment is not None
        self.move(*models.settle(self.payment, operation, answer, jitter))

    @precondition(lambda self: self.payment is not None)
    @rule()
    def doubt(self) -> None:
        """A webhook says that the refund failed. That is untrue here, so asking again changes nothing."""
        assert self.payment is not None
        self.move(models.doubt_refund(self.payment), None)

    @invariant()
    def money_is_conserved(self) -> None:
        assert self.captures <= 1
        assert self.balance in (0, 4200)
        if self.payment is not None and self.payment.state is State.CAPTURED:
            assert self.balance == 4200
        if self.payment is not None and self.payment.state in (State.FAILED, State.CANCELLED, State.REFUNDED):
            assert self.balance == 0
        if any(isinstance(reply, Cancelled) for reply in self.replies):
            assert self.balance == 0, "a cancel is answered only once no money is taken"

    def teardown(self) -> None:
        """In the end every payment comes to rest. A cancelled one has taken no money and is answered."""
        if self.payment is None:
            return
        while self.payment.operation is not None:
            self.lease()
            self.calls = self.calls[-1:]
            operation = self.calls[0].operation
            if operation not in self.definite:
                refused = self.declines and operation is Operation.CHARGE
                self.definite[operation] = Answer(Outcome.REFUSED if refused else Outcome.SUCCEEDED)
                self.captures += operation is Operation.CHARGE and not refused
                if not refused:
                    self.balance += 4200 if operation is Operation.CHARGE else -4200
            self.hear(operation, self.definite[operation])
        self.money_is_conserved()
        undone = [reply for reply in self.replies if isinstance(reply, Cancelled)]
        if self.cancels:
            assert self.payment.state in (State.CANCELLED, State.REFUNDED)
            assert {reply.refunded for reply in undone} == {self.captures == 1}
        else:
            assert not undone
            expected: type[Reply] = Failed if self.declines else Captured
            assert [type(reply) for reply in self.replies] == [expected], "one answer to one charge"


TestPaymentMachine = PaymentMachine.TestCase
TestPaymentMachine.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("state", list(State))
def test_every_state_answers_a_cancel_or_remembers_it(state: State) -> None:
    payment = replace(NEW, state=state, attempts=1)
    after, reply = models.cancel(payment)
    assert reply is not None or after.cancel_requested or after.state is State.REFUNDING


def test_a_refused_refund_stays_refunding_and_stuck() -> None:
    refunding = replace(NEW, state=State.REFUNDING, attempts=3)
    answer = Answer(Outcome.REFUSED, "refund-exceeds-capture", stuck=True)
    after, reply = models.settle(refunding, Operation.REFUND, answer, 1.0)
    assert (after.state, after.stuck, reply) == (State.REFUNDING, True, None)
    assert after.next_attempt_at == NOW + timedelta(seconds=4)


def test_a_refund_in_doubt_is_looked_up_at_once_and_stays_visible_until_the_money_is_returned() -> None:
    refunded = replace(NEW, state=State.REFUNDED, attempts=1, next_attempt_at=None)
    doubted = models.doubt_refund(refunded)
    assert (doubted.state, doubted.attempts, doubted.next_attempt_at) == (State.REFUNDING, 1, NOW)
    failed, reply = models.settle(doubted, Operation.REFUND, Answer(Outcome.REFUSED, "lost_or_stolen_card", True), 1.0)
    assert (failed.state, failed.reason, failed.stuck, reply) == (State.REFUNDING, "lost_or_stolen_card", True, None)
    returned, reply = models.settle(failed, Operation.REFUND, Answer(Outcome.SUCCEEDED), 1.0)
    assert (returned.state, returned.stuck, type(reply)) == (State.REFUNDED, False, Cancelled)


@pytest.mark.parametrize("state", set(State) - {State.REFUNDED})
def test_only_a_refund_that_succeeded_can_be_doubted(state: State) -> None:
    payment = replace(NEW, state=state)
    assert models.doubt_refund(payment) == payment


def test_the_back_off_doubles_is_spread_and_has_a_limit() -> None:
    def delays(jitter: float) -> list[float]:
        found = []
        for attempts in (1, 2, 3, 9, 2_000):
            payment = replace(NEW, attempts=attempts)
            after, _ = models.settle(payment, Operation.CHARGE, Answer(Outcome.UNKNOWN), jitter)
            assert after.next_attempt_at is not None
            found.append((after.next_attempt_at - NOW).total_seconds())
        return found

    assert delays(1.0) == [1, 2, 4, 256, 300]
    assert delays(0.0) == [0.5, 1, 2, 128, 150]


def test_a_charge_and_its_refund_have_one_key_each_for_ever() -> None:
    assert NEW.key == replace(NEW, state=State.UNKNOWN, attempts=99).key == f"{ORDER}:charge"
    assert replace(NEW, state=State.REFUNDING).key == f"{ORDER}:refund"


def test_the_providers_reference_is_kept_from_the_first_answer_that_has_it() -> None:
    unknown, _ = models.settle(NEW, Operation.CHARGE, Answer(Outcome.UNKNOWN, "processing", reference="pi_3M"), 1.0)
    captured, _ = models.settle(unknown, Operation.CHARGE, Answer(Outcome.SUCCEEDED), 1.0)
    refunding, _ = models.cancel(captured)
    refunded, _ = models.settle(refunding, Operation.REFUND, Answer(Outcome.SUCCEEDED, reference="re_3M"), 1.0)
    assert {p.provider_reference for p in (unknown, captured, refunding, refunded)} == {"pi_3M"}
