"""The secret may come from a file, and must be worth the name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from psp.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSP_DATABASE", "psp.sqlite")
    monkeypatch.setenv("WEBHOOK_URL", "http://127.0.0.1:8004/hook")
    monkeypatch.delenv("PSP_WEBHOOK_SECRET", raising=False)


def test_the_secret_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef\n")
    monkeypatch.setenv("PSP_WEBHOOK_SECRET_FILE", str(file))
    assert Settings().psp_webhook_secret.get_secret_value() == "0123456789abcdef"


def test_a_short_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSP_WEBHOOK_SECRET", "short")
    with pytest.raises(ValidationError, match="psp_webhook_secret"):
        Settings()
