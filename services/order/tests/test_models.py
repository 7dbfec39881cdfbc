"""Properties of the saga's state machine, for any sequence of inputs."""

from hypothesis import given
from hypothesis import strategies as st

from order.messages import CancelPayment, Charge, OrderConfirmed, ReleaseStock
from order.models import FAILED, OPEN, TRANSITIONS, UNDOING, Command, Input, Status, results, transition

inputs = st.lists(st.sampled_from(Input), max_size=30)


def run(sequence: list[Input]) -> tuple[list[Status], list[Command]]:
    """Returns the states that an order passes, from PENDING, and the commands that are sent."""
    status, states, commands = Status.PENDING, [Status.PENDING], list[Command]()
    for input in sequence:
        if step := transition(status, input):
            status = step.status
            states.append(status)
            commands += step.commands
    return states, commands


@given(inputs)
def test_no_state_is_entered_twice(sequence: list[Input]) -> None:
    states, _ = run(sequence)
    assert len(states) == len(set(states))


@given(inputs)
def test_the_charge_is_sent_once_and_only_after_stock_is_reserved(sequence: list[Input]) -> None:
    states, commands = run(sequence)
    assert commands.count(Charge) == (Status.RESERVED in states)


@given(inputs)
def test_an_order_that_took_money_and_was_undone_gives_it_back(sequence: list[Input]) -> None:
    states, commands = run(sequence)
    if states[-1] in UNDOING | {Status.CANCELLED, Status.EXPIRED, Status.REFUNDED}:
        assert commands.count(CancelPayment) == 1
        assert commands.count(ReleaseStock) == 1


@given(inputs)
def test_stock_is_sold_only_when_confirmed_and_released_when_payment_fails(sequence: list[Input]) -> None:
    states, commands = run(sequence)
    assert (OrderConfirmed in commands) == (Status.CONFIRMED in states)
    if states[-1] == Status.PAYMENT_FAILED:
        assert commands[-1] == ReleaseStock


@given(inputs, st.data())
def test_duplicates_change_nothing(sequence: list[Input], data: st.DataObject) -> None:
    """Repeating an input at once has no effect, because the order has already moved on."""
    doubled = [i for input in sequence for i in [input] * data.draw(st.integers(1, 3))]
    assert run(doubled) == run(sequence)


@given(inputs)
def test_after_an_undo_only_its_reply_counts(sequence: list[Input]) -> None:
    for status in UNDOING:
        for input in sequence:
            step = transition(status, input)
            assert (step is not None) == (input is Input.PAYMENT_CANCELLED)


def test_every_state_can_be_reached_and_is_final_or_has_a_successor() -> None:
    reached = {step.status for step in TRANSITIONS.values()} | {Status.PENDING}
    assert reached == set(Status)
    goes_on = {status for status, _ in TRANSITIONS}
    assert set(Status) - goes_on == FAILED | {Status.REFUNDED}
    assert goes_on >= OPEN | UNDOING


def test_an_open_order_can_be_cancelled_and_expires_and_a_confirmed_one_gives_its_money_back() -> None:
    for status in OPEN:
        assert transition(status, Input.CANCEL).status == Status.CANCELLING
        assert transition(status, Input.EXPIRE).status == Status.EXPIRING
    for input in (Input.CANCEL, Input.REFUND):
        assert transition(Status.CONFIRMED, input).status == Status.REFUNDING


def test_only_a_capture_confirms_an_order() -> None:
    leading = {key for key, step in TRANSITIONS.items() if step.status is Status.CONFIRMED}
    assert leading == {(Status.RESERVED, Input.CAPTURED)}


def test_each_undo_releases_the_stock_and_gives_the_money_back() -> None:
    undoing = [step for step in TRANSITIONS.values() if step.status in UNDOING]
    assert len(undoing) == 6
    assert all(set(step.commands) == {ReleaseStock, CancelPayment} for step in undoing)


def test_what_a_cancel_and_a_refund_lead_to() -> None:
    assert results(Input.REFUND) == {Status.REFUNDING, Status.REFUNDED}
    assert results(Input.CANCEL) == results(Input.REFUND) | {Status.CANCELLING, Status.CANCELLED}
