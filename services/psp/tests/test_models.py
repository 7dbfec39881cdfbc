"""The faults that tests set, and the fingerprints of requests."""

from psp.models import FaultMode, Faults, Kind, Trouble, fingerprint


def test_errors_come_before_and_after_the_money_moved() -> None:
    faults = Faults(slow_seconds=30)
    faults.set(FaultMode.ERROR500)
    assert [faults.next() for _ in range(4)] == [Trouble.ERROR_BEFORE, Trouble.ERROR_AFTER] * 2


def test_a_fault_for_some_requests_ends_after_them() -> None:
    faults = Faults(slow_seconds=30)
    faults.set(FaultMode.LOST_REPLY, for_requests=2)
    assert [faults.next() for _ in range(3)] == [Trouble.LOST_REPLY, Trouble.LOST_REPLY, Trouble.NONE]


def test_no_fault_restores_the_configured_slowness() -> None:
    faults = Faults(slow_seconds=30)
    faults.set(FaultMode.SLOW, seconds=2)
    assert faults.seconds == 2
    faults.set(FaultMode.NONE)
    assert faults.seconds == 30


def test_a_charge_and_a_refund_are_never_the_same_request() -> None:
    assert fingerprint(Kind.CHARGE, {"amount": 1}) != fingerprint(Kind.REFUND, {"amount": 1})
    assert fingerprint(Kind.CHARGE, {"a": 1, "b": 2}) == fingerprint(Kind.CHARGE, {"b": 2, "a": 1})
