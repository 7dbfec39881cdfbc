"""A service takes its settings from the environment and refuses to start on a placeholder."""

import pytest
from pydantic import SecretStr, ValidationError

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    database_url: SecretStr
    webhook_secret: SecretStr = SecretStr("a7c1e5")


def test_production_is_assumed_where_nobody_says_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ENVIRONMENT", raising=False)

    assert ServiceSettings().environment == "production"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shelf:change-me@db/shelf",
        "postgresql://shelf:Password@db/shelf",
        "postgresql://shelf:%73ecret@db/shelf",
        "postgresql://shelf:quayside-shelf@db/shelf",
        "postgresql://shelf:@db/shelf",
    ],
)
def test_a_placeholder_password_in_a_url_is_refused_in_production(url: str):
    with pytest.raises(ValidationError, match="DATABASE_URL holds a placeholder") as refused:
        Settings(database_url=SecretStr(url))

    assert url not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "changeme", "development", "quayside-webhooks"])
def test_a_placeholder_secret_is_refused_in_production(secret: str):
    with pytest.raises(ValidationError, match="WEBHOOK_SECRET holds a placeholder"):
        Settings(database_url=SecretStr("postgresql://shelf@db/shelf"), webhook_secret=SecretStr(secret))


def test_a_url_without_a_password_relies_on_something_else_and_is_accepted():
    assert Settings(database_url=SecretStr("postgresql://shelf@db/shelf"))


def test_a_placeholder_is_accepted_in_development(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENVIRONMENT", "development")

    assert Settings(database_url=SecretStr("postgresql://shelf:change-me@db/shelf"))


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "url").write_text("postgresql://shelf:9d2f@db/shelf\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))

    assert Settings().database_url.get_secret_value() == "postgresql://shelf:9d2f@db/shelf"


def test_a_placeholder_in_a_file_is_refused_too(monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "secret").write_text("change-me\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://shelf:9d2f@db/shelf")
    monkeypatch.setenv("WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))

    with pytest.raises(ValidationError, match="WEBHOOK_SECRET_FILE"):
        Settings()


def test_secrets_do_not_show_when_settings_are_printed():
    assert "9d2f" not in repr(Settings(database_url=SecretStr("postgresql://shelf:9d2f@db/shelf")))
