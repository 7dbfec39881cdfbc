"""Settings come from the environment, the secret perhaps from a file; each problem is one line."""

from pathlib import Path

import pytest

from psp.settings import Settings

GOOD = {
    "PSP_DATABASE": "psp.sqlite",
    "WEBHOOK_URL": "http://127.0.0.1:8004/hook",
    "PSP_WEBHOOK_SECRET": "0123456789abcdef",
}
NO_URL = "WEBHOOK_URL must look like http://payment:8000/api/payments/webhooks/psp"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GOOD, "PSP_WEBHOOK_SECRET_FILE", "SLOW_SECONDS"):
        monkeypatch.delenv(name, raising=False)


def refusal() -> list[str]:
    """Returns the lines with which the provider ends."""
    with pytest.raises(SystemExit) as ended:
        Settings.load()
    assert isinstance(ended.value.code, str)
    return ended.value.code.splitlines()


def test_the_secret_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef\n")
    for name, value in (GOOD | {"PSP_WEBHOOK_SECRET": "", "PSP_WEBHOOK_SECRET_FILE": str(file)}).items():
        monkeypatch.setenv(name, value)
    assert Settings().psp_webhook_secret.get_secret_value() == "0123456789abcdef"


@pytest.mark.parametrize(
    ("given", "complaints"),
    [
        ({"WEBHOOK_URL": ""}, ["WEBHOOK_URL is not set"]),
        ({"WEBHOOK_URL": "ftp://payment/hook"}, [NO_URL]),
        ({"WEBHOOK_URL": "payment:8000/hook"}, [NO_URL]),
        ({"WEBHOOK_URL": "http://payment:port/hook"}, [NO_URL]),
        ({"SLOW_SECONDS": "long"}, ["SLOW_SECONDS must be a valid number"]),
        ({"SLOW_SECONDS": "-1"}, ["SLOW_SECONDS must be greater than or equal to 0"]),
        ({"PSP_WEBHOOK_SECRET": "short"}, ["PSP_WEBHOOK_SECRET must have at least 16 characters"]),
        (
            {"PSP_WEBHOOK_SECRET_FILE": "/nowhere"},
            ["PSP_WEBHOOK_SECRET and PSP_WEBHOOK_SECRET_FILE are both set; keep one of them"],
        ),
        (
            {"PSP_WEBHOOK_SECRET": "", "PSP_WEBHOOK_SECRET_FILE": "/nowhere", "PSP_DATABASE": ""},
            [
                "PSP_DATABASE is not set",
                "PSP_WEBHOOK_SECRET_FILE: /nowhere cannot be read (no such file or directory);"
                " mount it readable, or correct the path",
            ],
        ),
    ],
)
def test_each_missing_or_invalid_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], complaints: list[str]
) -> None:
    for name, value in (GOOD | given).items():
        monkeypatch.setenv(name, value)
    assert refusal() == [f"psp: {complaint}" for complaint in complaints]
