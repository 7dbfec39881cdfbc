"""The shop's processes by name: start, find, stop and kill one, or all in the right order."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chassis.local.fork_server import fork_server
from chassis.local.processes import (
    Command,
    Process,
    Server,
    StartError,
    output,
    run_apart,
    spawn,
    stop_all,
    wait_ready,
)
from chassis.local.servers import Epmd, Postgres, RabbitMQ, Valkey
from chassis.local.system import store_program
from shopctl import consumers
from shopctl.definitions import render, template
from shopctl.native import databases, ports
from shopctl.native.edge import Edge
from shopctl.native.services import SHARED, Service, interpreter, services
from shopctl.native.tools import tools
from shopctl.place import TOOLS, Place
from shopctl.shop import Report, Row

TIMEOUT = 60.0
"""Seconds within which a process must become ready."""
STORES = ("postgres", "valkey", "rabbitmq", "epmd")
OBSERVING = ("edge", "storefront")
"""The processes whose settings depend on whether the shop is observed."""
LEFT_OUT = "Jaeger and Grafana run only in containers. OTEL_EXPORTER_OTLP_ENDPOINT may name a collector of your own."


class PortTaken(StartError):
    """Another process listens on one of our ports."""


@dataclass(frozen=True)
class NativeShop:
    """The processes of one place."""

    place: Place = field(default_factory=Place.here)
    runtime: str = "native"
    _known: dict[tuple[str, ...], dict[str, Server]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def servers(self) -> dict[str, Server]:
        """Every process of the shop, stores first; last the tools, if it is observed."""
        observing = self.place.tools
        if observing not in self._known:
            self._known[observing] = {server.name: server for server in self._configured()}
        return self._known[observing]

    def _configured(self) -> list[Server]:
        place, data, passwords = self.place, self.place.data, self.place.passwords
        deploy, port = place.root / "deploy", place.port
        definitions = render(
            template(place.services), {user: passwords[f"broker.{user}"] for user in place.services.broker_users}
        )
        settings = {path.stem: path.read_text() for path in deploy.glob("*/*.conf")}
        stores: list[Server] = [
            Postgres(data / "postgres", port("postgres"), passwords["postgres"], settings["postgresql"]),
            Valkey(data / "valkey", port("valkey"), passwords["valkey"], settings["valkey"] + place.valkey_users),
            Epmd(data / "rabbitmq", port("epmd")),
            RabbitMQ(
                data / "rabbitmq",
                port("rabbitmq"),
                port("rabbitmq-dist"),
                port("epmd"),
                definitions,
                settings["rabbitmq"],
                port("rabbitmq-metrics"),
            ),
        ]
        return [*stores, *services(place), Edge(place), *(tools(place) if place.tools else ())]

    @property
    def names(self) -> Sequence[str]:
        return list(self.servers)

    def observe(self, wanted: bool) -> str:
        names = [each.name for each in tools(self.place)] if wanted else []
        if names != [*self.place.tools]:
            self._check_ports([name for name in names if not self.process(name)])  # before anything is stopped
            self.stop(*(name for name in self.servers if name in (*TOOLS, *OBSERVING)))
            self.place.use_tools(names)
        return LEFT_OUT if wanted else ""

    def process(self, name: str) -> Process | None:
        """The running process of that name."""
        return Process.load(self.place.pid_file(name))

    def start(self, name: str, **settings: str) -> None:
        """Start one process unless it is running, and wait until it is ready. Raises StartError."""
        Starter(self).bring_up(name, settings)

    def stop(self, *names: str) -> None:
        """Stop services first, then their stores, and last the port mapper, which RabbitMQ needs to stop."""
        self._stop(*(name for name in names if name not in STORES))
        self._stop(*(name for name in names if name in STORES and name != "epmd"))
        self._stop(*(name for name in names if name == "epmd"))

    def _stop(self, *names: str) -> None:
        """Stop these at the same time, gracefully. It is no error if one does not run."""
        running = [(process, self.servers[name].stop_signal) for name in names if (process := self.process(name))]
        stop_all(running)
        for name in names:
            self.place.pid_file(name).unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """Send SIGKILL, and wait until the process is gone. Its PID file stays, as after a crash."""
        if process := self.process(name):
            process.stop(signal.SIGKILL)

    def freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process and its descendants, parents first."""
        if process := self.process(name):
            for each in filter(None, map(Process.of, process.family())):
                each.send(number)

    def execute(self, name: str, *argv: str, input: str = "") -> str:
        command = self.servers[name].command()
        env = {**command.env, "RABBITMQ_DIST_PORT": ""}  # the broker already uses that port
        there: dict[str, Any] = {"env": env, "cwd": command.cwd, "user": command.user, "group": command.user}
        return output(store_program(argv[0]), *argv[1:], input=input, **there)

    def up(self, report: Report = lambda name, seconds: None) -> list[str]:
        """Start what is not running, in parallel, and wait for all; returns the names of what was started.

        Raises PortTaken before anything starts. On any error, also an exception from a signal handler, this call stops
        again what it started.
        """
        absent = [name for name in self.servers if self.process(name) is None]
        self._check_ports(absent)
        starter = Starter(self, report)
        try:
            starter.run()
            consumers.wait_for(self.place.own_broker_url("operator"), self.place.services.consumers)
        except BaseException:
            self.stop(*starter.started)
            raise
        return starter.started

    def down(self) -> list[str]:
        """Stop all; returns the names of what was running."""
        running = [name for name in self.servers if self.process(name)]
        self.stop(*running)
        return running

    def reset(self) -> None:
        """Stop all and remove data, logs and secrets."""
        self.place.forget_secrets()
        self.down()
        self.place.remove()

    def _check_ports(self, names: list[str]) -> None:
        wanted = [*names, *(["rabbitmq-dist"] if "rabbitmq" in names else [])]
        taken = [
            f"Port {port}, which {name} needs, is taken by {found}."
            for name in wanted
            if (found := ports.holder(port := self.place.port(name)))
        ]
        if taken:
            hint = "Stop it, or move this shop: SHOP_PORT_OFFSET=1000 make up adds 1000 to every port."
            raise PortTaken("\n".join([*taken, hint]))

    def rows(self) -> list[Row]:
        return [self._row(name) for name in self.servers]

    def _row(self, name: str) -> Row:
        server, process = self.servers[name], self.process(name)
        if process is None:
            return Row(name, "stopped", server.port, None, None)
        return Row(name, "ready" if server.ready() else "not ready", server.port, process.pid, process.memory())

    def processes(self) -> Mapping[str, Sequence[Process]]:
        return {name: [process] for name in self.servers if (process := self.process(name))}

    def address(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", self.place.port(name)

    def replicas(self) -> Mapping[str, tuple[str, int]]:
        names = (*self.place.services.names, "edge-exporter")
        return {name: self.address(name) for name in names if self.process(name)}

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ

    def log_command(self, name: str | None, *, follow: bool, lines: int) -> list[str]:
        names = [name] if name else self.names
        files = [str(log) for each in names if (log := self.place.log(each)).exists()]
        if not files:
            raise StartError("There are no logs yet. `make up` starts the shop.")
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), *files]

    def log_lines(self, name: str | None) -> Iterator[tuple[str, str]]:
        for each in [name] if name else self.names:
            log = self.place.log(each)
            for file in sorted(log.parent.glob(f"{log.name}*"), reverse=True):  # order.log.1 is older than order.log
                with file.open(errors="replace") as written:
                    for line in written:
                        yield each, line.rstrip("\n")


class Starter:
    """One call of `up`: starts processes in the order of their dependencies, and records what it started."""

    def __init__(self, shop: NativeShop, report: Report = lambda name, seconds: None) -> None:
        self.shop = shop
        self.started: list[str] = []
        self._report = report
        self._spawn_service: Callable[[Command, Path], Process] = spawn
        self._cancelled = threading.Event()
        shop.place.make()  # here, because the rest runs in threads

    def run(self) -> None:
        run_apart(self._run, self._cancelled.set)

    def _run(self) -> None:
        with fork_server(SHARED, interpreter()) as self._spawn_service:
            self._bring_up_all()

    def _bring_up_all(self) -> None:
        pool = ThreadPoolExecutor(max_workers=len(self.shop.servers))
        try:
            self.bring_up("epmd")  # first: otherwise RabbitMQ starts one of its own
            schema = pool.submit(self._databases)
            tasks: list[Future[None]] = [schema]
            # RabbitMQ starts slowest, and services connect to it when it is there, so none of them waits for it.
            tasks += (
                pool.submit(self._after, schema if name in self.shop.place.services.databases else None, name)
                for name in self.shop.servers
                if name not in ("epmd", "postgres")
            )
            done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            self._cancelled.set()
            pool.shutdown(cancel_futures=True)

    def bring_up(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Start `name` unless it is running, and wait until it is ready."""
        began = time.monotonic()
        server, log = self.shop.servers[name], self.shop.place.log(name)
        process = self.shop.process(name)
        if process is None:
            server.prepare()
            command = server.command()
            begin = self._spawn_service if isinstance(server, Service) else spawn
            process = begin(replace(command, env={**command.env, **(settings or {})}), log)
            process.save(self.shop.place.pid_file(name))
            self.started.append(name)
        wait_ready(server, process, log, TIMEOUT, self._cancelled)
        if name in self.started:
            self._report(name, time.monotonic() - began)

    def _databases(self) -> None:
        self.bring_up("postgres")
        server = self.shop.servers["postgres"]
        assert isinstance(server, Postgres)
        databases.make_ready(self.shop.place, server)

    def _after(self, first: Future[None] | None, name: str) -> None:
        if first is not None:
            first.result()
        if not self._cancelled.is_set():
            self.bring_up(name)
