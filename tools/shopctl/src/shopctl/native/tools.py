"""The tools that observe a native shop, from Debian's packages: Prometheus, Alertmanager and the stores' exporters."""

import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chassis.local.processes import Command, Server, answers
from chassis.local.system import environment, own, program, run_as, write
from shopctl import scraping
from shopctl.native.edge import EdgeExporter, telemetry_address
from shopctl.place import Place

__all__ = ["PROGRAMS", "Tool", "tools"]

PROGRAMS = {
    "prometheus": ("prometheus",),
    "prometheus-alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "prometheus-postgres-exporter": ("prometheus-postgres-exporter", "postgres_exporter"),
    "prometheus-redis-exporter": ("prometheus-redis-exporter", "redis_exporter"),
    "prometheus-nginx-exporter": ("prometheus-nginx-exporter", "nginx-prometheus-exporter"),
}
"""For each of Debian's packages, the names that its program has there and elsewhere."""


@dataclass(frozen=True)
class Tool:
    """A program that answers 200 at `path` when it is ready. `files` are written into `home`, its working directory."""

    name: str
    port: int
    home: Path
    package: str
    options: Sequence[str]
    settings: Mapping[str, str]
    files: Mapping[str, str]
    path: str
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        user = run_as("prometheus")
        own(self.home, user)
        shutil.rmtree(self.home / "rules", ignore_errors=True)  # some may be gone from deploy/
        for name, text in self.files.items():
            own((self.home / name).parent, user)
            write(self.home / name, text, user)

    def command(self) -> Command:
        argv = (program(*PROGRAMS[self.package]), *self.options)
        return Command(argv, self.home, {**environment(), **self.settings}, run_as("prometheus"))

    def ready(self) -> bool:
        question = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        return answers(self.port, question.encode(), b"HTTP/1.1 200")


def tools(place: Place) -> list[Server]:
    """Every tool of a native shop, configured for this machine."""
    deploy, passwords = place.root / "deploy", place.passwords
    rules = {f"rules/{file.name}": file.read_text() for file in (deploy / "prometheus/rules").glob("*.yaml")}
    valkey = f"redis://127.0.0.1:{place.port('valkey')}"
    return [
        _tool(
            place,
            "prometheus",
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=2d",
            "--storage.tsdb.retention.size=512MB",
            "--enable-feature=exemplar-storage",
            files={"prometheus.yml": scraping.native(place), **rules},
            path="/-/ready",
        ),
        _tool(
            place,
            "alertmanager",
            "prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            files={"alertmanager.yml": (deploy / "alertmanager/alertmanager.yml").read_text()},
            path="/-/ready",
        ),
        _tool(
            place,
            "postgres-exporter",
            "prometheus-postgres-exporter",
            settings={
                "DATA_SOURCE_URI": f"127.0.0.1:{place.port('postgres')}/postgres?sslmode=disable",
                "DATA_SOURCE_USER": "exporter",
                "DATA_SOURCE_PASS": passwords["database.exporter"],
            },
        ),
        _tool(
            place,
            "valkey-exporter",
            "prometheus-redis-exporter",
            "--config-command=-",  # its user may not read Valkey's configuration, which holds a password
            f"--redis.addr={valkey}",
            "--redis.user=exporter",
            settings={"REDIS_PASSWORD": passwords["valkey.exporter"]},
        ),
        _tool(
            place,
            "nginx-exporter",
            "prometheus-nginx-exporter",
            f"--nginx.scrape-uri=http://{telemetry_address(place)}/stub_status",
            # Debian's version ends if nginx does not answer at first; later ones ignore these.
            settings={"NGINX_RETRIES": "60", "NGINX_RETRY_INTERVAL": "500ms"},
        ),
        EdgeExporter.of(place),
    ]


def _tool(
    place: Place,
    name: str,
    package: str,
    *options: str,
    settings: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    path: str = "/",
) -> Tool:
    port = place.port(name)
    listen = f"--web.listen-address=127.0.0.1:{port}"
    return Tool(name, port, place.data / name, package, (*options, listen), settings or {}, files or {}, path)
