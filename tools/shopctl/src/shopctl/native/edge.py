"""nginx in front of the services, from deploy/nginx's templates."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from chassis.testing.processes import Command, answers
from chassis.testing.system import environment, own, program, run_as, write
from shopctl.native.place import Place

UPSTREAMS = ("catalog", "cart", "order", "payment", "identity")


@dataclass(frozen=True)
class Edge:
    """nginx as one foreground process; as root it runs as www-data, and so do its workers.

    EDGE_LISTEN in the environment opens it to more than this machine, such as `0.0.0.0:8080`.
    """

    place: Place
    name: str = "edge"
    stop_signal: signal.Signals = signal.SIGQUIT  # lets open requests end

    @property
    def port(self) -> int:
        return self.place.port("edge")

    @property
    def home(self) -> Path:
        return self.place.data / "nginx"

    def prepare(self) -> None:
        source, user = self.place.root / "deploy" / "nginx", run_as("www-data")
        own(self.home, user)
        own(self.home / "tmp", user)
        pages = self.home / "pages"
        own(pages, user)
        for page in (source / "pages").iterdir():
            write(pages / page.name, page.read_text(), user)
        values = {
            "EDGE_LISTEN": os.environ.get("EDGE_LISTEN") or f"127.0.0.1:{self.port}",
            "EDGE_PAGES": str(pages),
            "EDGE_RESOLVER": "",
            "EDGE_RUN": str(self.home),
        }
        values |= {f"{name.upper()}_SERVERS": f"server 127.0.0.1:{self.place.port(name)};" for name in UPSTREAMS}
        for template, target in (("quayside", "quayside"), ("native", "nginx")):
            text = (source / f"{template}.conf.template").read_text()
            write(self.home / f"{target}.conf", _substitute(text, values), user)

    def command(self) -> Command:
        argv = (program("nginx"), "-e", "stderr", "-p", str(self.home), "-c", str(self.home / "nginx.conf"))
        return Command(argv, self.home, environment(), run_as("www-data"))

    def ready(self) -> bool:
        return answers(self.port, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200")


def _substitute(text: str, values: dict[str, str]) -> str:
    """As envsubst does; names that we do not know are prose in a comment."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values.get(found[1], found[0]), text)
