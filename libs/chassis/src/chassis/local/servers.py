"""Private PostgreSQL, Valkey (or Redis) and RabbitMQ on 127.0.0.1, from the system's binaries.

If root starts them, each server runs as its package's own user, because PostgreSQL refuses root and no server needs it.
That user must have permission to enter every parent of `home`: see `system.reachable`.
"""

import contextlib
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from chassis.local.processes import Command, StartError, answers, wait_until_free
from chassis.local.system import (
    environment,
    own,
    postgres_program,
    program,
    rabbitmq_program,
    run_as,
    write,
)


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL 15 or later, with password authentication and the superuser `postgres`.

    `settings` is the text of a postgresql.conf without addresses. `durable=False` switches fsync off, for tests only.
    """

    home: Path
    port: int
    password: str
    settings: str = ""
    durable: bool = True
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT  # "fast" shutdown: SIGTERM would wait for the clients to disconnect

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{quote(self.password)}@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        user = run_as("postgres")
        own(self.home, user)
        data = self.home / "data"
        if not data.exists():
            self._initialise(data, user)
        own_settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        if not self.durable:
            own_settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        lines = (f"{key} = '{value}'\n" for key, value in own_settings.items())
        write(data / "postgresql.conf", "".join([self.settings, *lines]), user)
        # PostgreSQL does not start while the pid of the last one is in use, or one of its children still runs. It never
        # starts if the last one was killed between the creation of this file and its first line.
        lock = data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            if not (text := lock.read_text()):
                lock.unlink()
            pid, *rest = text.splitlines()
            wait_until_free(int(pid), int(rest[5].split()[1]) if len(rest) > 5 else None)

    def _initialise(self, data: Path, user: str | None) -> None:
        # Created elsewhere and renamed, so that an interrupted initdb leaves nothing that looks like a database.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password = self.home / "password"
        write(password, self.password, user)
        argv = [postgres_program("initdb"), "-D", str(fresh), "-U", "postgres", "--auth=scram-sha-256"]
        argv += [f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8"]
        if not self.durable:
            argv.append("--no-sync")
        group = None if user is None else pwd.getpwnam(user).pw_gid
        done = subprocess.run(
            argv, cwd=self.home, env=environment(), user=user, group=group, capture_output=True, text=True
        )
        password.unlink()
        if done.returncode:
            raise StartError(f"initdb failed\n{done.stderr}")
        fresh.rename(data)

    def command(self) -> Command:
        argv = (postgres_program("postgres"), "-D", str(self.home / "data"))
        return Command(argv, self.home, environment(), run_as("postgres"))

    def ready(self) -> bool:
        argv = [postgres_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(argv, env=environment()).returncode == 0


@dataclass(frozen=True)
class Valkey:
    """Valkey, or Redis if that is installed; `settings` is the text of a valkey.conf without addresses."""

    home: Path
    port: int
    password: str
    settings: str = ""
    name: str = "valkey"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://:{quote(self.password)}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        user = run_as("redis")
        own(self.home, user)  # its working directory, where it stores its data
        own_settings = f"""\
bind 127.0.0.1
port {self.port}
requirepass {self.password}
"""
        write(self.home / "valkey.conf", self.settings + own_settings, user)

    def command(self) -> Command:
        argv = (program("valkey-server", "redis-server"), str(self.home / "valkey.conf"))
        return Command(argv, self.home, environment(), run_as("redis"))

    def ready(self) -> bool:
        return answers(self.port, b"PING\r\n", b"-NOAUTH")


@dataclass(frozen=True)
class Epmd:
    """Erlang's port mapper, for one RabbitMQ only: otherwise RabbitMQ would leave a shared one running."""

    home: Path
    port: int
    name: str = "epmd"
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        own(self.home, run_as("rabbitmq"))

    def command(self) -> Command:
        argv = (program("epmd"), "-port", str(self.port), "-address", "127.0.0.1")
        return Command(argv, self.home, environment(), run_as("rabbitmq"))

    def ready(self) -> bool:
        return answers(self.port, b"\x00\x01n", self.port.to_bytes(4, "big"))  # NAMES_REQ


@dataclass(frozen=True)
class RabbitMQ:
    """RabbitMQ 3.10 or later on one scheduler. Its `Epmd` must be started first.

    `definitions` is the JSON text that is loaded at each start, before any client can connect; `settings` the text of a
    rabbitmq.conf without addresses. Its plugin for Prometheus listens at `metrics_port`; without one, it has no plugin.
    """

    home: Path
    port: int
    dist_port: int
    epmd_port: int
    definitions: str
    settings: str = ""
    metrics_port: int | None = None
    name: str = "rabbitmq"
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        user = run_as("rabbitmq")
        own(self.home, user)
        own_settings = f"""\
listeners.tcp.default = 127.0.0.1:{self.port}
load_definitions = {self.home}/definitions.json
log.file = false
log.console = true
"""
        plugins = "[].\n"
        if self.metrics_port:
            own_settings += f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {self.metrics_port}\n"
            plugins = "[rabbitmq_prometheus].\n"
        write(self.home / "rabbitmq.conf", self.settings + own_settings, user)
        write(self.home / "definitions.json", self.definitions, user)
        write(self.home / "enabled_plugins", plugins, user)
        cookie = self.home / ".erlang.cookie"
        if not cookie.exists():
            write(cookie, secrets.token_hex(20), user, mode=0o400)

    def command(self) -> Command:
        home = str(self.home)
        settings = {
            "HOME": home,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # If its port mapper has ended, it must not start another one, which would keep running.
            "ERL_FLAGS": "-start_epmd false",
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/none.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            # Relative, because quorum queues record the path, and would not find their data after a move.
            "RABBITMQ_MNESIA_BASE": "mnesia",
            "RABBITMQ_LOG_BASE": home,
            "RABBITMQ_LOGS": "-",
            # Unbound: two brokers on one machine would otherwise share the first core.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            # One scheduler that sleeps when idle, and no table for a million processes, which would take 13 MB.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+P 65536 +S 1:1 +SDcpu 1:1 +SDio 4 "
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            # The script then execs the Erlang virtual machine: the pid is the server's, and SIGTERM is graceful.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        argv = (rabbitmq_program("rabbitmq-server"),)
        return Command(argv, self.home, environment() | settings, run_as("rabbitmq"))

    def ready(self) -> bool:
        return answers(self.port, b"AMQP\x00\x00\x09\x01", b"\x01")
