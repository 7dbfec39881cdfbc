"""An outage is logged once, again when its reason changes, and when it ends."""

import asyncio
import logging

import pytest

from chassis.outage import Outage, address, reason

log = logging.getLogger("lamps")


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_lasting_failure_is_logged_once(caplog: pytest.LogCaptureFixture):
    outage = Outage(log, "lighting")

    for _ in range(3):
        outage.failed(ConnectionError("no current"))

    assert caplog.messages == ["lighting: no current (trying until it succeeds)"]


def test_another_reason_is_logged_again(caplog: pytest.LogCaptureFixture):
    outage = Outage(log, "lighting")

    for why in ("no current", "no current", "no bulb", TimeoutError()):
        outage.failed(why)

    assert [message.split(": ")[1].partition(" (")[0] for message in caplog.messages] == [
        "no current",
        "no bulb",
        "TimeoutError",
    ]


def test_a_bug_that_goes_on_is_logged_again_after_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    clock = {"now": 0.0}
    monkeypatch.setattr("chassis.outage.time.monotonic", lambda: clock["now"])
    outage = Outage(log, "lighting")

    for clock["now"] in (1000.0, 1030.0, 1061.0, 1070.0):
        outage.failed("KeyError: 'bulb'", KeyError("bulb"))

    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_its_end_is_logged_once_and_the_next_outage_again(caplog: pytest.LogCaptureFixture):
    outage = Outage(log, "lighting")

    outage.over()
    outage.failed("no current")
    outage.over()
    outage.over()
    outage.failed("no current")

    assert [message.split(": ")[1][:10] for message in caplog.messages] == ["no current", "works agai", "no current"]


@pytest.mark.parametrize(
    ("url", "expected"), [("amqp://lamps:9d2f@mq/x", "mq:5672"), ("amqp://lamps:9d2f@mq:1/x", "mq:1")]
)
def test_an_address_has_a_port_and_no_password(url: str, expected: str):
    assert address(url, 5672) == expected


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "connection refused"),
        ("localhost", "connection refused"),
        ("nowhere.invalid", "the name does not resolve"),
    ],
)
async def test_a_reason_is_a_few_words(host: str, words: str):
    with pytest.raises(OSError) as failed:  # noqa: PT011 - the loop's own choice
        await asyncio.open_connection(host, 1)

    assert reason(failed.value) == words
