"""nginx in front of the services, from deploy/nginx's templates, and the process that reads its telemetry."""

import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from chassis.local.processes import Command, StartError, answers
from chassis.local.system import environment, own, program, run_as, write
from shopctl.native.services import Service
from shopctl.place import Place

LIMITS = {
    "RATE_LIMIT": "on",
    "RATE_LIMIT_PER_SECOND": "100",
    "RATE_LIMIT_BURST": "500",
    "RATE_LIMIT_PER_ADDRESS": "2000",
}


@dataclass(frozen=True)
class Edge:
    """nginx as one foreground process. If we are root, it and its workers run as www-data.

    deploy/nginx/README.md describes the variables of the environment.
    """

    place: Place
    name: str = "edge"
    stop_signal: signal.Signals = signal.SIGQUIT  # finishes open requests

    @property
    def port(self) -> int:
        return self.place.port("edge")

    @property
    def home(self) -> Path:
        return self.place.data / "nginx"

    def prepare(self) -> None:
        """Write nginx's files. Raises StartError if deploy/nginx/balancing has no such LB_POLICY."""
        trusted = os.environ.get("EDGE_TRUSTED_PROXIES", "")
        source, user = self.place.root / "deploy" / "nginx", run_as("www-data")
        policy = _policy(source / "balancing")
        own(self.home, user)
        own(self.home / "tmp", user)
        own(self.home / "balancing", user)
        for file in (source / "balancing").iterdir():
            write(self.home / "balancing" / file.name, file.read_text(), user)
        values = {
            "EDGE_LISTEN": os.environ.get("EDGE_LISTEN") or f"127.0.0.1:{self.port}",
            "EDGE_RUN": ".",  # -p, below which nginx reads and writes everything, so that no path needs quoting
            "EDGE_CACHE": "cache",
            **{name: os.environ.get(name) or default for name, default in LIMITS.items()},
            "EDGE_TELEMETRY": "on" if self.place.tools else "off",
            "EDGE_TELEMETRY_ADDRESS": telemetry_address(self.place),
            "EDGE_TRACE_CLIENTS": os.environ.get("EDGE_TRACE_CLIENTS") or "on",
            "EDGE_TRUSTED_PROXIES": trusted,
            "EDGE_TRUSTED_NETWORKS": re.sub(r"set_real_ip_from\s+([^\s;]+)", r"\1 1", trusted),
            "LB_POLICY": policy,
            "NGINX_LOCAL_RESOLVERS": "127.0.0.1",  # not used: our servers have addresses, not names
        }
        for name in self.place.services.upstreams:
            values[f"{name.upper()}_SERVERS"] = f"server 127.0.0.1:{self.place.port(name)};"
        for template, target in (("quayside", "quayside"), ("native", "nginx")):
            text = (source / f"{template}.conf.template").read_text()
            write(self.home / f"{target}.conf", _substitute(text, values), user)

    def command(self) -> Command:
        argv = (program("nginx"), "-e", "stderr", "-p", f"{self.home}/", "-c", "nginx.conf")
        return Command(argv, self.home, environment(), run_as("www-data"))

    def ready(self) -> bool:
        return answers(self.port, b"GET /health/edge HTTP/1.0\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200")


@dataclass(frozen=True)
class EdgeExporter(Service):
    """`chassis.edge_exporter` beside nginx, with the settings of a service."""

    telemetry: str = ""

    @classmethod
    def of(cls, place: Place) -> "EdgeExporter":
        return cls("edge-exporter", place.port("edge-exporter"), {}, place.run, telemetry=telemetry_address(place))

    def command(self) -> Command:
        argv = (sys.executable, "-m", "chassis.edge_exporter", self.telemetry, f"127.0.0.1:{self.port}")
        return Command(argv, self.cwd, self.environment)

    def ready(self) -> bool:
        return answers(self.port, b"GET /metrics HTTP/1.0\r\n\r\n", b"HTTP/1.0 200")


def telemetry_address(place: Place) -> str:
    """Where nginx sends its packets, and counts its connections."""
    return f"127.0.0.1:{place.port('edge-telemetry')}"


def _policy(known: Path) -> str:
    policies = sorted(file.stem for file in known.glob("*.conf"))
    policy = os.environ.get("LB_POLICY") or "round-robin"
    if policy not in policies:
        raise StartError(f"LB_POLICY is {policy!r}; it must be one of {', '.join(policies)}")
    return policy


def _substitute(text: str, values: dict[str, str]) -> str:
    """Substitute like envsubst. An unknown name is part of a comment, and stays."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values.get(found[1], found[0]), text)
