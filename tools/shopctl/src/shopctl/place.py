"""A shop's clone, state, ports, addresses and secrets, for every runtime."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chassis.local.processes import StartError
from chassis.local.system import make_passable, make_reachable, reachable, write
from shopctl import acl, given, services
from shopctl.services import Services

# Ports of what is not a service; a service declares its own.
PORTS = {
    "edge": 8080,
    "edge-telemetry": 8145,
    "postgres": 8432,
    "valkey": 8379,
    "rabbitmq": 8672,
    "rabbitmq-dist": 8673,
    "epmd": 8674,
    "rabbitmq-metrics": 8692,
    "prometheus": 8090,
    "alertmanager": 8093,
    "jaeger": 8686,
    "grafana": 8300,
    "postgres-exporter": 8187,
    "valkey-exporter": 8121,
    "nginx-exporter": 8113,
    "edge-exporter": 8114,
}
TOOLS = (
    *("prometheus", "alertmanager", "jaeger", "grafana"),
    *("postgres-exporter", "valkey-exporter", "nginx-exporter", "edge-exporter"),
)
"""What observes the shop; `make up OBSERVE=1` starts those that the runtime has."""
OBSERVED = "observed"
SECRETS = "secrets"
PSP_DATABASE = "psp.sqlite"
STATE = (
    *("data", "logs", "pids", "compose", "lock", "runtime", OBSERVED, SECRETS),
    *(PSP_DATABASE, f"{PSP_DATABASE}-wal", f"{PSP_DATABASE}-shm"),
)

# The accounts for development; `up` prints them.
ADMIN_EMAIL = "admin@quayside.example"
ADMIN_PASSWORD = "quayside-admin"  # noqa: S105
SHOPPER_EMAIL = "shopper@quayside.example"
SHOPPER_PASSWORD = "quayside-shopper"  # noqa: S105


class Busy(StartError):
    """Another shopctl is starting or stopping the same shop."""


@dataclass(frozen=True)
class Place:
    """A clone, the directory with all state (`.run`), and the number that is added to each port.

    SHOP_RUN and SHOP_PORT_OFFSET in the environment allow a second shop beside the first. For a shop on other machines,
    the environment gives addresses: SHOP_URL, with ADMIN_EMAIL and ADMIN_PASSWORD, SHOP_PSP_URL, SHOP_BROKER_URL (as
    operator), SHOP_<SERVICE>_DATABASE_URL (as auditor), SHOP_PROMETHEUS_URL and SHOP_JAEGER_URL. For each, X_FILE may
    name a file that holds it.
    """

    root: Path
    run: Path
    offset: int = 0

    @classmethod
    def here(cls) -> "Place":
        """The place of this clone and environment. Raises StartError if a variable is invalid."""
        root = next(parent for parent in Path(__file__).resolve().parents if (parent / "deploy").is_dir())
        run = Path(os.environ.get("SHOP_RUN") or root / ".run")
        highest = max(cls(root, run).ports.values())
        return cls(root, run.absolute(), given.port_offset(highest))

    @cached_property
    def services(self) -> Services:
        """The services as they declare themselves. Raises StartError."""
        return services.load(self.root)

    @cached_property
    def ports(self) -> dict[str, int]:
        """The port of every service and store."""
        ports = {**PORTS, **{each.name: each.port for each in self.services}}
        if len({*ports.values()}) < len(PORTS) + len(self.services.names):
            taken = ", ".join(f"{name} ({port})" for name, port in PORTS.items())
            raise StartError(f"A service has the port of one of these: {taken}.")
        return {name: port + self.offset for name, port in ports.items()}

    def port(self, name: str) -> int:
        return self.ports[name]

    @property
    def address(self) -> str:
        """The shop's address, which is the edge's."""
        return given.address("SHOP_URL", like="http://shop.example:8080") or f"http://localhost:{self.port('edge')}"

    @cached_property
    def data(self) -> Path:
        """The stores' data: `.run/data`, or its link's target if the stores' users cannot reach it there."""
        return reachable(self.run / "data")

    def make(self) -> None:
        """Make the directories that hold state. Raises StartError."""
        make_reachable(self.run / "data")

    def forget_secrets(self) -> None:
        """Remove the secrets first: damaged ones must not prevent the removal of the data."""
        _remove(self.run / SECRETS)

    def remove(self) -> None:
        """Remove the shop's state. Other files in SHOP_RUN stay."""
        shutil.rmtree(self.data, ignore_errors=True)
        for name in STATE:
            _remove(self.run / name)
        with contextlib.suppress(OSError):
            self.run.rmdir()

    def log(self, name: str) -> Path:
        return self._under("logs") / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self._under("pids") / name

    def _under(self, name: str) -> Path:
        make_passable(self.run)
        directory = self.run / name
        directory.mkdir(exist_ok=True)
        return directory

    @cached_property
    def passwords(self) -> dict[str, str]:
        """Passwords (`postgres`, `database.order`, `broker.order`, …), generated once, readable only by their owner.

        Raises StartError if the file exists and cannot be read: new passwords would not open the data.
        """
        file = self.run / SECRETS
        known = _read_secrets(file) if file.exists() else {}
        wanted = ["postgres", "valkey", "psp-webhook", "database.auditor", "database.exporter", "valkey.exporter"]
        wanted += [f"database.{name}" for name in self.services.databases]
        wanted += [f"broker.{name}" for name in self.services.broker_users]
        wanted += [f"valkey.{name}" for name in self.services.valkey_users]
        if missing := [name for name in wanted if name not in known]:
            make_passable(self.run)
            known |= {name: secrets.token_urlsafe(24) for name in missing}
            write(file, json.dumps(known, indent=2), user=None)
        return known

    def database_url(self, role: str, database: str | None = None) -> str:
        """PostgreSQL as `role`, by default in the database of the same name."""
        if role == "auditor":
            variable = f"SHOP_{(database or role).upper()}_DATABASE_URL"
            if elsewhere := given.address(variable, like="postgresql://auditor:password@host:5432/database"):
                return elsewhere
        password = self.passwords[f"database.{role}"]
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port('postgres')}/{database or role}"

    def broker_url(self, user: str) -> str:
        """RabbitMQ as `user`; as the operator, SHOP_BROKER_URL may name another machine's."""
        if user == "operator" and (
            elsewhere := given.address("SHOP_BROKER_URL", like="amqp://user:password@host/vhost")
        ):
            return elsewhere
        return self.own_broker_url(user)

    def own_broker_url(self, user: str) -> str:
        """This machine's RabbitMQ as `user`."""
        return f"amqp://{user}:{self.passwords[f'broker.{user}']}@127.0.0.1:{self.port('rabbitmq')}/quayside"

    def valkey_url(self, user: str) -> str:
        return f"redis://{user}:{self.passwords[f'valkey.{user}']}@127.0.0.1:{self.port('valkey')}/0"

    @property
    def valkey_users(self) -> str:
        """The users of Valkey, as lines of its configuration."""
        names = (*self.services.valkey_users, acl.EXPORTER)
        return acl.lines(self.services, {name: self.passwords[f"valkey.{name}"] for name in names})

    @property
    def psp_url(self) -> str:
        """The sandbox provider's own address."""
        return given.address("SHOP_PSP_URL", like="http://host:8007") or f"http://127.0.0.1:{self.port('psp')}"

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools that observe this shop: those with which `up` started it last; none without OBSERVE=1."""
        file = self.run / OBSERVED
        known = file.read_text(errors="replace").split() if file.exists() else ()
        return tuple(name for name in TOOLS if name in known)

    def use_tools(self, names: Iterable[str]) -> None:
        """Remember the tools that observe this shop from now on."""
        make_passable(self.run)
        (self.run / OBSERVED).write_text(" ".join(names))

    @property
    def prometheus_url(self) -> str | None:
        """The address of Prometheus, without a path; None if the shop is not observed."""
        return self.tool_url("prometheus")

    @property
    def jaeger_url(self) -> str | None:
        """The address of Jaeger's API and pages, without a path; None if there is no Jaeger, as in native shops."""
        return self.tool_url("jaeger")

    def tool_url(self, name: str) -> str | None:
        """The address of a tool with pages: this machine's, or that of SHOP_<TOOL>_URL. None if it does not run."""
        elsewhere = given.address(f"SHOP_{name.upper()}_URL", like="http://host:9090")
        return elsewhere or (f"http://localhost:{self.port(name)}" if name in self.tools else None)

    @property
    def admin(self) -> tuple[str, str]:
        """The administrator's email address and password: this machine's, or those that the environment gives."""
        if not given.text("SHOP_URL"):
            return ADMIN_EMAIL, ADMIN_PASSWORD
        return given.text("ADMIN_EMAIL") or ADMIN_EMAIL, given.text("ADMIN_PASSWORD") or ADMIN_PASSWORD

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep other shopctl processes from changing this shop inside the block. Raises Busy."""
        make_passable(self.run)
        with (self.run / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy("another shopctl is starting or stopping this shop. Wait until it has finished.") from None
            yield


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read_secrets(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_bytes())
        if not isinstance(known, dict) or not all(isinstance(secret, str) for secret in known.values()):
            raise ValueError("not what was written")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise StartError(
            f"{file}: {reason}. Without it the shop's data cannot be used: restore it, or `make reset` removes both."
        ) from None
    return known
