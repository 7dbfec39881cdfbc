"""The shop in containers: runs compose.yaml with Docker Compose."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chassis.local.processes import Process, StartError, output
from chassis.local.system import write
from shopctl import consumers, derived, edge
from shopctl.definitions import render, template
from shopctl.place import ADMIN_PASSWORD, TOOLS, Place
from shopctl.services import STORES, Declaration
from shopctl.shop import Report, Row

__all__ = ["ComposeShop", "unavailable"]

OLDEST = (2, 26)
EXPORTER_PORT = 9114
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Sequences for a terminal, which Compose writes even with `--ansi never`."""
PUBLISHED = ("edge", "psp", "postgres", "rabbitmq", "prometheus", "alertmanager", "jaeger", "grafana")
PROFILES = {"observability": "prometheus", "grafana": "grafana"}
"""The profiles of compose.yaml, with a tool that shows that a shop has it."""
ALL = ("--profile", "*")
"""For commands that remove containers: a profile may have been started without `make up`."""
BESIDE_THE_EDGE = ("edge-exporter", "nginx-exporter")
"""They share the network of the edge's container, and lose it when that starts again."""
WITHIN = 300.0
"""Seconds in which a command must end that neither pulls nor builds images."""
UP = ("up", "--detach", "--no-build", "--wait", "--wait-timeout", "180")
OTHER_PASSWORDS = (
    "The Docker volumes hold the data of a shop with other passwords, probably that of another clone. `make reset` here"
    " deletes that data; SHOP_PORT_OFFSET=1000 make up keeps it, and starts another shop beside it."
)


def unavailable() -> str | None:
    """Returns why the shop cannot run in containers here, or None if it can."""
    if not shutil.which("docker"):
        return "there is no docker command"
    try:
        engine = _run("docker", "version", "--format", "{{.Server.Version}}", timeout=10)
        compose = _run("docker", "compose", "version", "--short", timeout=10)
    except StartError:
        return "Docker does not answer"
    if engine.returncode:
        return "no Docker Engine answers"
    version = compose.stdout.strip().lstrip("v")
    if compose.returncode or _parts(version) < OLDEST:
        return f"Docker Compose is {version or 'missing'}, and 2.26 is needed"
    return None


@dataclass(frozen=True)
class ComposeShop:
    """The Compose project `quayside`, or `quayside-<offset>` with a port offset.

    TAG and IMAGES in the environment choose pulled images; without TAG, images are built from this clone.
    """

    place: Place = field(default_factory=Place.here)
    runtime: str = "compose"

    @property
    def names(self) -> Sequence[str]:
        return (*STORES, *self.place.services.names, "edge", *self.place.tools)

    @property
    def _behind_the_edge(self) -> Sequence[Declaration]:
        return [each for each in self.place.services if each.routes]

    @property
    def project(self) -> str:
        return f"quayside-{self.place.offset}" if self.place.offset else "quayside"

    @property
    def secrets(self) -> Path:
        return self.place.run / "compose"

    def observe(self, wanted: bool) -> str:
        """Grafana is left out if its image is not here and cannot be pulled."""
        tools, left_out = list(TOOLS if wanted else ()), ""
        if wanted:
            pulled = self._compose("--profile", "grafana", "pull", "--policy", "missing", "grafana", timeout=None)
            if pulled.returncode:
                tools.remove("grafana")
                left_out = f"Grafana is left out, because its image cannot be pulled: {_end(pulled.stderr, 1)}"
        if surplus := [name for name in self.place.tools if name not in tools]:
            self._checked("rm", "--stop", "--force", *surplus)
        self.place.use_tools(tools)
        return left_out

    def up(self, report: Report = lambda name, seconds: None) -> list[str]:
        began, before = time.monotonic(), {each["ID"] for each in self._running()}
        derived.check_all(self.place.root, self.place.services)  # containers mount some of these files
        self.write_secrets()
        self.open_mounts()
        if not os.environ.get("TAG"):
            self._build()
            report("images", time.monotonic() - began)
        began = time.monotonic()
        done = self._compose(*UP, "--remove-orphans", timeout=None)
        if done.returncode:
            raise StartError(self._why(done.stderr))
        edge.wait_for(self.address("edge"), self._behind_the_edge)
        consumers.wait_for(self.place.own_broker_url("operator"), self.place.services.consumers)
        report("containers", time.monotonic() - began)
        return [_name(each) for each in self._running() if each["ID"] not in before]

    def down(self) -> list[str]:
        running = [_name(each) for each in self._running()]
        self._checked(*ALL, "down", "--remove-orphans", "--timeout", "30")
        return running

    def reset(self) -> None:
        self._checked(*ALL, "down", "--remove-orphans", "--volumes", "--timeout", "5")
        self.place.remove()

    def start(self, name: str, **settings: str) -> None:
        this_time = json.dumps({"services": {name: {"environment": settings}}})
        self._checked("--file", "-", *UP, "--no-deps", name, input=this_time)
        if name == "edge" and (beside := [each for each in BESIDE_THE_EDGE if each in self.place.tools]):
            self._checked("up", "--detach", "--no-deps", "--force-recreate", *beside)
        edge.wait_for(self.address("edge"), [each for each in self._behind_the_edge if name in ("edge", each.name)])

    def stop(self, *names: str) -> None:
        if names:
            self._checked("stop", *names)

    def kill(self, name: str) -> None:
        self._checked("kill", name)

    def freeze(self, name: str) -> None:
        if self._compose("pause", name).returncode:  # the kernel may fail to freeze a busy container, once
            self._checked("pause", name)

    def thaw(self, name: str) -> None:
        if any(each["Service"] == name and each["State"] == "paused" for each in self._containers()):
            self._checked("unpause", name)

    def execute(self, name: str, *argv: str, input: str = "") -> str:
        return output(*self.command, "exec", "--no-TTY", name, *argv, input=input, env=self.environment)

    def rows(self) -> list[Row]:
        containers = self._containers()
        found = {name: [each for each in containers if each["Service"] == name] for name in self.names}
        return [row for name, each in found.items() for row in ([*map(_row, each)] or [_row({"Service": name})])]

    def processes(self) -> Mapping[str, Sequence[Process]]:
        found: dict[str, list[Process]] = {}
        for each in self._containers():
            if each["Service"] in self.names and (process := _process(each)):
                found.setdefault(each["Service"], []).append(process)
        return found

    def address(self, name: str) -> tuple[str, int]:
        if name in self.place.tools:
            return "127.0.0.1", self.place.port(name)
        if name == "edge":
            return os.environ.get("EDGE_BIND") or "127.0.0.1", self.place.port("edge")
        for each in self._containers():
            if each["Service"] == name:
                return _address(*_inspect(each["ID"])), 8000
        raise StartError(f"{name} does not run")

    def replicas(self) -> Mapping[str, tuple[str, int]]:
        ports = {**dict.fromkeys(self.place.services.names, 8000), "edge-exporter": EXPORTER_PORT}
        running = [each for each in self._running() if each["Service"] in ports]
        details = zip(running, _inspect(*(each["ID"] for each in running)), strict=False) if running else ()
        return {_name(each): (_address(found), ports[each["Service"]]) for each, found in details}

    def log_command(self, name: str | None, *, follow: bool, lines: int) -> list[str]:
        options = ["--tail", str(lines), *(["--follow"] if follow else [])]
        return [*self.command, "logs", *options, *([name] if name else [])]

    def log_lines(self, name: str | None) -> Iterator[tuple[str, str]]:
        command = [*self.command, "logs", "--no-color", *([name] if name else [])]
        with subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        ) as running:
            for line in running.stdout or ():
                container, _, text = line.rstrip("\n").partition(" | ")
                yield ANSI.sub("", container).strip().removesuffix("-1"), text.strip()
        if running.returncode:
            raise StartError("docker compose logs failed. `make logs` shows why.")

    def containers(self, name: str) -> list[str]:
        """Returns the IDs of a service's containers."""
        return [each["ID"] for each in self._containers() if each["Service"] == name]

    @property
    def network(self) -> str:
        return f"{self.project}_default"

    def disconnect(self, container: str) -> None:
        """Cut a container off from the others. It is no error if it is."""
        if any(self.network in each["NetworkSettings"]["Networks"] for each in _inspect(container)):
            _docker("network", "disconnect", self.network, container)

    def connect(self, container: str, name: str) -> None:
        """Undo `disconnect` for a container of the service `name`. It is no error if the container no longer exists."""
        if any(self.network not in each["NetworkSettings"]["Networks"] for each in _inspect(container)):
            _docker("network", "connect", "--alias", name, self.network, container)

    def write_secrets(self) -> None:
        """Write a file for each secret of compose.yaml. They are written each time, because the topology changes."""
        passwords, services = self.place.passwords, self.place.services
        roles, users = (*services.databases, "auditor", "exporter"), services.broker_users
        files = {
            "admin-password": ADMIN_PASSWORD,
            "postgres-password": passwords["postgres"],
            "database-passwords": f"PGPASSWORD={passwords['postgres']}\n"
            + "".join(f"{role.upper()}_PASSWORD={passwords[f'database.{role}']}\n" for role in roles),
            "valkey-users": f"requirepass {passwords['valkey']}\n{self.place.valkey_users}",
            "psp-webhook-secret": passwords["psp-webhook"],
            "postgres-exporter-password": passwords["database.exporter"],
            "valkey-exporter-passwords": json.dumps({"redis://exporter@valkey:6379": passwords["valkey.exporter"]}),
            # Empty files count as not set.
            "stripe-api-key": os.environ.get("STRIPE_API_KEY", ""),
            "stripe-webhook-secret": os.environ.get("STRIPE_WEBHOOK_SECRET", ""),
            "rabbitmq-definitions": render(template(services), {user: passwords[f"broker.{user}"] for user in users}),
        }
        for name, stores in ((each.name, each.stores) for each in services):
            if "postgres" in stores:
                password = passwords[f"database.{name}"]
                files[f"{name}-database-url"] = f"postgresql://{name}:{password}@postgres:5432/{name}"
            if "valkey" in stores:
                files[f"{name}-valkey-url"] = f"redis://{name}:{passwords[f'valkey.{name}']}@valkey:6379/0"
            if "rabbitmq" in stores:
                password = passwords[f"broker.{name}"]
                files[f"{name}-broker-url"] = f"amqp://{name}:{password}@rabbitmq:5672/quayside"
        self.secrets.mkdir(parents=True, exist_ok=True)
        self.secrets.chmod(0o700)
        for name, text in files.items():
            # Only we may enter the directory, but a container may read the files that are mounted into it.
            write(self.secrets / name, text, user=None)
            (self.secrets / name).chmod(0o444)  # whatever the umask

    def open_mounts(self) -> None:
        """Let containers' users read what is mounted from deploy/, whatever the umask was when the clone was made."""
        for path in (self.place.root / "deploy").rglob("*"):
            mode, wanted = path.stat().st_mode, 0o555 if path.is_dir() else 0o444
            if mode & wanted != wanted:
                path.chmod(mode | wanted)

    def _build(self) -> None:
        done = _run("docker", "buildx", "bake", "--progress", "plain", cwd=self.place.root, timeout=None)
        if done.returncode:
            raise StartError(f"The images could not be built:\n{_end(done.stderr, 20)}")

    @property
    def command(self) -> list[str]:
        file = self.place.root / "compose.yaml"
        return ["docker", "compose", "--ansi", "never", "--project-name", self.project, "--file", str(file)]

    @property
    def environment(self) -> dict[str, str]:
        """Our own environment, with the variables of compose.yaml."""
        ports = {f"{name.upper()}_PORT": str(self.place.port(name)) for name in PUBLISHED}
        profiles = [name for name, tool in PROFILES.items() if tool in self.place.tools]
        ours = {"SHOP_SECRETS": str(self.secrets), "COMPOSE_PROFILES": ",".join(profiles), "COMPOSE_PROGRESS": "quiet"}
        return {**os.environ, **ports, **ours, "TELEMETRY": "on" if profiles else ""}

    def _compose(
        self, *arguments: str, input: str = "", timeout: float | None = WITHIN
    ) -> subprocess.CompletedProcess[str]:
        return _run(*self.command, *arguments, env=self.environment, input=input, timeout=timeout)

    def _checked(self, *arguments: str, input: str = "") -> str:
        done = self._compose(*arguments, input=input)
        if done.returncode:
            command = next(each for each in arguments if each.isalpha())
            raise StartError(f"docker compose {command} failed:\n{_end(done.stderr)}")
        return done.stdout

    def _containers(self) -> list[dict[str, Any]]:
        """Returns what `docker compose ps` reports for each container, also for stopped ones."""
        return [json.loads(line) for line in self._checked("ps", "--all", "--format", "json").splitlines()]

    def _running(self) -> list[dict[str, Any]]:
        return [each for each in self._containers() if each["State"] == "running"]

    def _why(self, said: str) -> str:
        """Describes what did not start, with the last lines of its log."""
        containers = self._containers()
        broken = [each for each in containers if each["ExitCode"] or each["State"] == "restarting"] or [
            each for each in containers if each["State"] == "running" and each["Health"] not in ("", "healthy")
        ]
        lines = ["The shop did not start.", _end(said, 3)]
        for each in broken:
            log = _run("docker", "logs", "--tail", "5", each["ID"])
            lines += [f"{_name(each)}:", *(f"    {line}" for line in (log.stdout + log.stderr).splitlines())]
        if any('authentication failed for user "postgres"' in line for line in lines):
            lines.append(OTHER_PASSWORDS)
        return "\n".join([*lines, "`make logs` has more, `make down` stops it."])


def _row(container: Mapping[str, Any]) -> Row:
    """The row of one container, or of a service without one, of which only the name is known."""
    if container.get("State") != "running":
        return Row(_name(container), container.get("State", "stopped").replace("exited", "stopped"), None, None, None)
    process = _process(container)
    ports = [port["PublishedPort"] for port in container["Publishers"] or () if port["PublishedPort"]]
    return Row(
        _name(container),
        "ready" if container["Health"] in ("", "healthy") else "not ready",
        ports[0] if ports else None,
        process.pid if process else None,
        process.memory() or None if process else None,
    )


def _name(container: Mapping[str, Any]) -> str:
    """The service's name, with a number for every replica but the first."""
    service, number = container["Service"], container.get("Name", "-1").rpartition("-")[2]
    return service if number == "1" else f"{service}-{number}"


def _process(container: Mapping[str, Any]) -> Process | None:
    """The container's first process, if the engine is on this machine."""
    (found,) = _inspect(container["ID"])
    pid = found["State"]["Pid"]
    return Process.of(pid) if pid else None


def _address(inspected: Mapping[str, Any]) -> str:
    address: str = next(iter(inspected["NetworkSettings"]["Networks"].values()))["IPAddress"]
    return address


def _inspect(*containers: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_run("docker", "inspect", *containers).stdout)
    return found


def _docker(*arguments: str) -> None:
    done = _run("docker", *arguments, timeout=60)
    if done.returncode:
        raise StartError(f"docker {arguments[0]} failed:\n{_end(done.stderr)}")


def _run(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Raises StartError if the program takes longer than `timeout`, by default WITHIN."""
    options = {"input": "", "timeout": WITHIN, **options}
    try:
        return subprocess.run(argv, **options, capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        raise StartError(f"{' '.join(argv[:2])} did not end within {options['timeout']:.0f} s") from None


def _end(text: str, lines: int = 8) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _parts(version: str) -> tuple[int, ...]:
    """Returns (2, 26) for `2.26.1-4`."""
    numbers = version.split(".")[:2]
    return tuple(map(int, numbers)) if all(part.isdigit() for part in numbers) else (0,)
