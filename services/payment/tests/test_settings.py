"""The payment service ends on bad settings with one line for each problem."""

import os
import subprocess
import sys

import pytest

from payment.settings import Settings

GOOD = {
    "ENVIRONMENT": "development",
    "DATABASE_URL": "postgresql://payment@127.0.0.1:9/payment",
    "BROKER_URL": "amqp://127.0.0.1:9/",
    "JWKS_URL": "http://127.0.0.1:9/.well-known/jwks.json",
    "PSP_URL": "http://127.0.0.1:9",
    "PSP_WEBHOOK_SECRET": "a-secret-of-the-tests",
}
PAIR = "STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET go together; set both or neither"


def test_without_settings_the_process_ends_with_a_line_for_each() -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "payment.main:create", "--port", "0"]
    ended = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"payment: {variable} is not set; set it, or {variable}_FILE"
        for variable in ("DATABASE_URL", "BROKER_URL", "JWKS_URL", "PSP_URL", "PSP_WEBHOOK_SECRET")
    ]


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"STRIPE_API_KEY": "sk_test_123"}, [PAIR]),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_1"}, [PAIR]),
        ({"PAYMENT_PROVIDER": "other"}, ["PAYMENT_PROVIDER must be 'psp' or 'stripe'"]),
        (
            {"PAYMENT_PROVIDER": "stripe"},
            ["PAYMENT_PROVIDER is stripe; set STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET, or choose psp"],
        ),
    ],
)
def test_what_is_wrong_with_the_providers_is_said_in_a_line_each(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], problems: list[str]
) -> None:
    for name, value in (GOOD | given).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        Settings.load("payment")
    assert str(ended.value.code).splitlines() == [f"payment: {problem}" for problem in problems]


@pytest.mark.parametrize(
    ("given", "imported"),
    [({}, "False"), ({"STRIPE_API_KEY": "sk_test_123", "STRIPE_WEBHOOK_SECRET": "whsec_1"}, "True")],
)
def test_stripes_sdk_is_imported_only_with_its_keys(given: dict[str, str], imported: str) -> None:
    """It would cost every other process 13 MB and 0.3 s."""
    program = "import sys, payment.main; payment.main.create(); print('stripe' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | GOOD | given, capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout.strip(), ended.returncode) == (imported, 0), ended.stderr
