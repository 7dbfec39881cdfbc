"""A service reads its settings from the environment, and refuses missing, wrong and placeholder values."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr, ValidationError

from chassis.settings import BrokerUrl, DatabaseUrl, HttpUrl, JwksUrl, ServiceSettings, ValkeyUrl

URL = "postgresql://shelf:9d2f@db/shelf"


class Settings(ServiceSettings):
    database_url: DatabaseUrl
    webhook_secret: Annotated[SecretStr, Field(min_length=4)] = SecretStr("a7c1e5")
    broker_url: BrokerUrl = SecretStr("amqp://shelf:9d2f@mq/shelves")
    valkey_url: ValkeyUrl = SecretStr("redis://:9d2f@valkey/0")
    catalog_url: HttpUrl = "http://catalog"
    jwks_url: JwksUrl = "http://identity/.well-known/jwks.json"
    shelves: Annotated[int, Field(ge=1)] = 1
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a service in production, with what it needs and nothing else."""
    for name in os.environ:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", URL)


@pytest.fixture
def refusal() -> Callable[[], list[str]]:
    """Returns the lines with which a service ends."""

    def load() -> list[str]:
        with pytest.raises(SystemExit) as ended:
            Settings.load("shelf")
        assert isinstance(ended.value.code, str)  # which Python prints on stderr, with status 1
        return ended.value.code.splitlines()

    return load


def test_production_is_the_default():
    assert ServiceSettings().environment == "production"


def test_a_missing_variable_is_reported_in_a_line(refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DATABASE_URL")

    assert refusal() == ["shelf: DATABASE_URL is not set; set it, or DATABASE_URL_FILE"]


def test_an_empty_variable_is_not_set(refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROLE", "")
    assert Settings.load("shelf").role == "all"

    monkeypatch.setenv("DATABASE_URL", "")
    assert refusal() == ["shelf: DATABASE_URL is not set; set it, or DATABASE_URL_FILE"]


def test_words_may_have_any_case(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"LOG_LEVEL": "INFO", "ROLE": "Api", "ENVIRONMENT": "Development"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load("shelf")
    assert (settings.log_level, settings.role, settings.environment) == ("info", "api", "development")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ENVIRONMENT", "staging", "ENVIRONMENT must be 'development' or 'production'"),
        ("ROLE", "foo", "ROLE must be 'all', 'api' or 'worker'"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be 'debug', 'info', 'warning' or 'error'"),
        ("SHELVES", "many", "SHELVES must be a valid integer"),
        ("SHELVES", "0", "SHELVES must be greater than or equal to 1"),
        ("CURRENCY", "euro", "CURRENCY must match pattern '^[A-Z]{3}$'"),
        ("WEBHOOK_SECRET", "abc", "WEBHOOK_SECRET must have at least 4 characters"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "OTEL_EXPORTER_OTLP_ENDPOINT must look like http://host:8000",
        ),
    ],
)
def test_a_wrong_value_is_reported_in_a_line(
    refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
):
    monkeypatch.setenv(name, value)

    assert refusal() == [f"shelf: {complaint}"]


@pytest.mark.parametrize(
    ("name", "url", "like"),
    [
        ("DATABASE_URL", "mysql://shelf:9d2f@db/shelf", "postgresql://user:password@host:5432/database"),
        ("DATABASE_URL", "postgresql://", "postgresql://user:password@host:5432/database"),
        ("DATABASE_URL", "postgresql://shelf:9d/2f@db/shelf", "postgresql://user:password@host:5432/database"),
        ("DATABASE_URL", "db:9d2f", "postgresql://user:password@host:5432/database"),
        ("BROKER_URL", "rabbitmq://shelf:9d2f@mq/shelves", "amqp://user:password@host:5672/vhost"),
        ("BROKER_URL", "amqp://shelf:9d2f@mq:amqp/shelves", "amqp://user:password@host:5672/vhost"),
        ("VALKEY_URL", "valkey://:9d2f@valkey/0", "redis://:password@host:6379/0"),
        ("CATALOG_URL", "catalog:8000", "http://host:8000"),
        ("CATALOG_URL", "http://:8000", "http://host:8000"),
        ("CATALOG_URL", "http://catalog:80000", "http://host:8000"),
        ("JWKS_URL", "ftp://identity/.well-known/jwks.json", "http://host:8000/.well-known/jwks.json"),
        ("JWKS_URL", "http://identity", "http://host:8000/.well-known/jwks.json"),
    ],
)
def test_a_wrong_url_is_reported_with_an_example(
    refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, name: str, url: str, like: str
):
    monkeypatch.setenv(name, url)

    (line,) = refusal()

    assert line.startswith(f"shelf: {name} must look like {like}")
    assert "9d" not in line


def test_all_problems_are_reported_at_once(refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROLE", "foo")
    monkeypatch.setenv("DATABASE_URL", "postgresql://shelf:change-me@db/shelf")
    monkeypatch.setenv("WEBHOOK_SECRET_FILE", "/nowhere")

    assert [line.split()[1].rstrip(":") for line in refusal()] == ["ROLE", "DATABASE_URL", "WEBHOOK_SECRET_FILE"]


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
def test_a_placeholder_password_in_a_url_is_refused_in_production(
    refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, url: str
):
    monkeypatch.setenv("DATABASE_URL", url)

    assert refusal() == [
        "shelf: DATABASE_URL holds a placeholder;"
        " set a secret of your own, or DATABASE_URL_FILE, or ENVIRONMENT=development"
    ]


@pytest.mark.parametrize("secret", ["changeme", "development", "quayside-webhooks"])
def test_a_placeholder_secret_is_refused_in_production(secret: str):
    with pytest.raises(ValidationError, match="WEBHOOK_SECRET holds a placeholder"):
        Settings(webhook_secret=SecretStr(secret))


def test_a_url_without_a_password_is_accepted():
    assert Settings(database_url=SecretStr("postgresql://shelf@db/shelf"))


def test_a_placeholder_is_accepted_in_development(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENVIRONMENT", "development")

    assert Settings(database_url=SecretStr("postgresql://shelf:change-me@db/shelf"))


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "url").write_text(f"{URL}\n")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))

    assert Settings().database_url.get_secret_value() == URL


def test_a_placeholder_in_a_file_is_refused_too(
    refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "secret").write_text("change-me\n")
    monkeypatch.setenv("WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))

    (line,) = refusal()

    assert line.startswith("shelf: WEBHOOK_SECRET holds a placeholder")


def test_a_variable_and_its_file_together_are_refused(
    refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "url").write_text(URL)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))

    assert refusal() == ["shelf: DATABASE_URL and DATABASE_URL_FILE are both set; keep one of them"]


def test_an_empty_file_of_an_optional_setting_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "ratio").write_text("\n")
    monkeypatch.setenv("LOG_SAMPLE_RATIO_FILE", str(tmp_path / "ratio"))
    monkeypatch.setenv("LOG_SAMPLE_RATIO", "")

    assert Settings.load("shelf").log_sample_ratio == 0.01


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("nowhere", "cannot be read (no such file or directory); mount it readable, or correct the path"),
        ("folder", "cannot be read (is a directory); mount it readable, or correct the path"),
        ("empty", "is empty; write the value into it"),
        ("binary", "is not text in UTF-8"),
    ],
)
def test_an_unusable_file_is_named(
    refusal: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, reason: str
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / file))

    assert refusal() == [f"shelf: DATABASE_URL_FILE: {tmp_path / file} {reason}"]


def test_secrets_do_not_show_when_settings_are_printed_or_refused(monkeypatch: pytest.MonkeyPatch):
    assert "9d2f" not in repr(Settings())

    monkeypatch.setenv("BROKER_URL", "rabbit://shelf:9d2f@mq")
    with pytest.raises(ValidationError) as refused:
        Settings(role="foo")  # type: ignore[arg-type]
    assert "9d2f" not in str(refused.value)
