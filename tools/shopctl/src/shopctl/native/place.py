"""Where the shop lives on this machine: its clone, its state, its ports and its secrets."""

import json
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chassis.testing.system import make_reachable, reachable, write

PORTS = {
    "edge": 8080,
    "catalog": 8001,
    "cart": 8002,
    "order": 8003,
    "payment": 8004,
    "identity": 8005,
    "psp": 8007,
    "postgres": 8432,
    "valkey": 8379,
    "rabbitmq": 8672,
    "rabbitmq-dist": 8673,
    "epmd": 8674,
}
DATABASES = ("catalog", "identity", "order", "payment")
CONSUMERS = ("catalog", "cart", "order", "payment")
OUTBOXES = ("catalog", "order", "payment")
BROKER_USERS = (*CONSUMERS, "operator")


@dataclass(frozen=True)
class Place:
    """A clone, the directory that holds all state (`.run`), and what is added to each port number.

    The environment's SHOP_RUN and SHOP_PORT_OFFSET make room for a second shop beside the first.
    """

    root: Path
    run: Path
    offset: int = 0

    @classmethod
    def here(cls) -> "Place":
        root = Path(__file__).resolve().parents[5]
        run = Path(os.environ.get("SHOP_RUN") or root / ".run")
        return cls(root, run.absolute(), int(os.environ.get("SHOP_PORT_OFFSET") or 0))

    def port(self, name: str) -> int:
        return PORTS[name] + self.offset

    @property
    def address(self) -> str:
        """The shop's own address, the edge's."""
        return f"http://localhost:{self.port('edge')}"

    @cached_property
    def data(self) -> Path:
        """The stores' data: `.run/data`, or what it links to when the stores' users could not get there."""
        return reachable(self.run / "data")

    def make(self) -> None:
        """Make the directories that hold state. Raises StartError."""
        make_reachable(self.run / "data")

    def log(self, name: str) -> Path:
        return self._under("logs") / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self._under("pids") / name

    def _under(self, name: str) -> Path:
        directory = self.run / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    @cached_property
    def passwords(self) -> dict[str, str]:
        """Generated once, readable by their owner alone: `postgres`, `database.order`, `broker.order`, …"""
        file = self.run / "secrets"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        wanted = ["postgres", "valkey", "psp-webhook", "database.auditor"]
        wanted += [f"database.{name}" for name in DATABASES] + [f"broker.{name}" for name in BROKER_USERS]
        if missing := [name for name in wanted if name not in known]:
            self.run.mkdir(parents=True, exist_ok=True)
            known |= {name: secrets.token_urlsafe(24) for name in missing}
            write(file, json.dumps(known, indent=2), user=None)
        return known

    def database_url(self, role: str, database: str | None = None) -> str:
        """PostgreSQL as `role`, by default in the database of the same name."""
        password = self.passwords[f"database.{role}"]
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port('postgres')}/{database or role}"

    def broker_url(self, user: str) -> str:
        return f"amqp://{user}:{self.passwords[f'broker.{user}']}@127.0.0.1:{self.port('rabbitmq')}/quayside"

    @property
    def valkey_url(self) -> str:
        return f"redis://:{self.passwords['valkey']}@127.0.0.1:{self.port('valkey')}/0"

    def service_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port(name)}"
