"""The Python services as processes, and the environment of each."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chassis.local.processes import Command, answers
from chassis.local.system import environment
from shopctl.place import ADMIN_EMAIL, ADMIN_PASSWORD, PSP_DATABASE, Place
from shopctl.services import Declaration

# From our own environment a service gets only what its interpreter may need, and these settings. compose.yaml passes on
# the same ones, and the README lists them. A ROLE or DATABASE_URL of another program does not reach a service.
INTERPRETER = ("HOME", "LD_LIBRARY_PATH")
PASSED_ON = (
    *("LOG_LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT", "TRACE_SAMPLE_RATIO"),
    *("ARCHIVE_DAYS", "ORDER_TTL_SECONDS", "PUBLIC_URL", "SWEEP_SECONDS"),
)
PROVIDER = ("PAYMENT_PROVIDER", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET")
"""Variables for the payment service only; the storefront gets the first, because it shows the provider's test cards."""
DEVELOPMENT = {"ENVIRONMENT": "development", "ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": ADMIN_PASSWORD}

SHARED = ("chassis.app", "chassis.auth", "chassis.relay", "chassis.valkey", "httptools", "uvicorn", "uvloop")
"""Modules that services import; together they import nearly all that two services have in common."""

_READY = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Service:
    """One uvicorn process, and the service's own environment."""

    name: str
    port: int
    env: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        """Do nothing: databases are created and migrated before."""

    def command(self) -> Command:
        argv = [sys.executable, "-m", "uvicorn", "--factory", f"{self.name}.main:create"]
        argv += ["--host", "127.0.0.1", "--port", str(self.port), "--loop", "uvloop", "--http", "httptools"]
        argv += ["--no-access-log", "--timeout-graceful-shutdown", "5", "--timeout-keep-alive", "30"]
        return Command(tuple(argv), self.cwd, self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        return {**interpreter(), **self.env, **_ours(PASSED_ON)}

    def ready(self) -> bool:
        return answers(self.port, _READY, b"HTTP/1.1 200")


def interpreter() -> dict[str, str]:
    """The environment of every Python process, before its own settings."""
    # Otherwise each thread of a small process keeps a heap of its own.
    return {**environment(), **_ours(INTERPRETER), "MALLOC_ARENA_MAX": "2"}


def services(place: Place) -> list[Service]:
    """Every service, configured for this machine."""
    return [_service(place, declared) for declared in place.services]


def _service(place: Place, declared: Declaration) -> Service:
    name = declared.name
    env = DEVELOPMENT | {"CURRENCY": "EUR"}
    if "postgres" in declared.stores:
        env["DATABASE_URL"] = place.database_url(name)
    if "valkey" in declared.stores:
        env["VALKEY_URL"] = place.valkey_url(name)
    if "rabbitmq" in declared.stores:
        env["BROKER_URL"] = place.broker_url(name)
    for called in declared.calls:
        env[f"{called.upper()}_URL"] = _url(place, called)
    if "identity" in declared.calls:
        env["JWKS_URL"] = f"{_url(place, 'identity')}/.well-known/jwks.json"
    return Service(name, place.port(name), env | _further(place).get(name, {}), place.run)


def _further(place: Place) -> dict[str, dict[str, str]]:
    """The variables that do not follow from a declaration."""
    webhook_secret = {"PSP_WEBHOOK_SECRET": place.passwords["psp-webhook"]}
    return {
        "identity": {"PUBLIC_URL": f"http://localhost:{place.port('edge')}"},
        "payment": webhook_secret | _ours(PROVIDER),
        "psp": {
            "PSP_DATABASE": str(place.run / PSP_DATABASE),
            "WEBHOOK_URL": f"{_url(place, 'payment')}/api/payments/webhooks/psp",
            **webhook_secret,
        },
        "storefront": _ours(PROVIDER[:1]) | ({"PROMETHEUS_URL": place.prometheus_url} if place.prometheus_url else {}),
    }


def _url(place: Place, name: str) -> str:
    return f"http://127.0.0.1:{place.port(name)}"


def _ours(names: tuple[str, ...]) -> dict[str, str]:
    """The variables among these that our own environment sets."""
    return {name: value for name in names if (value := os.environ.get(name))}
