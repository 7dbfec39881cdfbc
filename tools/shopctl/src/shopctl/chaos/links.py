"""The connections from a service to a dependency, such as `order>postgres`, and a forwarder between the two.

Natively the service starts again with the address of the forwarder, and nginx reads its file again. In containers the
forwarder runs in the network of the service's container, and rules of the packet filter send the connections to it, so
nothing starts again; connections that existed before are reset.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chassis.local.processes import Process, StartError, free_ports, output
from chassis.local.system import run_as, write
from shopctl.chaos import helpers
from shopctl.chaos.fault import State, Target
from shopctl.native.edge import Edge
from shopctl.native.services import services

__all__ = ["insert", "lacking", "links", "place_for", "remove", "signal_fault"]

PORTS = {"postgres": 5432, "valkey": 6379, "rabbitmq": 5672}
"""The ports of stores in containers. Services have 8000."""
MARK = 0x51_5A
TIMEOUT = 30.0


def links(shop: Target) -> list[str]:
    """Returns every link of the shop, as `service>dependency`."""
    declared = shop.place.services
    found = [f"{each.name}>{other}" for each in declared for other in (*each.stores, *each.calls)]
    return [*found, *(f"edge>{name}" for name in declared.upstreams)]


def lacking(shop: Any) -> str | None:
    """Returns what this machine lacks to put a forwarder between containers."""
    if shop.runtime == "native":
        return None
    if os.geteuid() != 0:
        return "root"
    return next((name for name in ("nsenter", "iptables") if not shutil.which(name)), None)


def place_for(shop: Any, link: str) -> State:
    """Returns where a forwarder for the link will listen, and what it will forward to."""
    service, _, dependency = link.partition(">")
    host, port = shop.address(dependency)
    if shop.runtime == "compose":
        port = PORTS.get(dependency, port)
    return {"service": service, "host": host, "port": port, "listen": free_ports(1)[0]}


def insert(shop: Any, fault: str, state: State) -> None:
    """Starts the forwarder and leads the connections through it; the fault is not in effect yet. Raises StartError."""
    argv = [sys.executable, "-m", "shopctl.chaos.forwarder", fault, state["host"], str(state["port"])]
    argv += ["--listen", str(state["listen"])]
    if shop.runtime == "compose":
        argv = [*_inside(shop, state), *argv, "--mark", str(MARK)]
    process = helpers.start(shop, _helper(state), argv, "forwarder")
    _wait(lambda: _listens(process, state["listen"]), "the forwarder does not listen")
    if shop.runtime == "compose":
        for rule in _rules(state):
            _filter(shop, state, "-A", rule)
    elif state["service"] == "edge":
        _lead_edge(shop, state["port"], state["listen"])
    else:
        shop.stop(state["service"])
        shop.start(state["service"], **_settings(shop, state))


def signal_fault(shop: Any, state: State, number: signal.Signals) -> None:
    """Begins the fault with SIGUSR1, or ends it with SIGUSR2, while the forwarder stays where it is."""
    if process := Process.load(helpers.pid_file(shop, _helper(state))):
        process.send(number)


def remove(shop: Any, state: State) -> None:
    """Leads the connections as they were, and ends the forwarder."""
    file = helpers.pid_file(shop, _helper(state))
    if not file.exists():
        return
    signal_fault(shop, state, signal.SIGUSR2)
    if shop.runtime == "compose":
        for rule in _rules(state):
            if _has(shop, state, rule):
                _filter(shop, state, "-D", rule)
    elif state["service"] == "edge":
        _lead_edge(shop, state["listen"], state["port"])
    else:
        shop.stop(state["service"])
        shop.start(state["service"])
    if process := Process.load(file):
        process.stop(signal.SIGTERM)
    file.unlink(missing_ok=True)


def _helper(state: State) -> str:
    return f"forwarder-{state['listen']}"


def _settings(shop: Target, state: State) -> dict[str, str]:
    """Returns the settings of a native service that name its dependency, with the forwarder's address instead."""
    env = next(each.env for each in services(shop.place) if each.name == state["service"])
    old, new = (f"{state['host']}:{state[port]}" for port in ("port", "listen"))
    return {name: value.replace(old, new) for name, value in env.items() if old in value}


def _lead_edge(shop: Any, old: int, new: int) -> None:
    """Replaces the port of a server in nginx's file, and returns once workers run that have read it."""
    process, file = shop.process("edge"), Edge(shop.place).home / "quayside.conf"
    text = file.read_text()
    changed = text.replace(f"server 127.0.0.1:{old};", f"server 127.0.0.1:{new};")
    if changed != text:
        write(file, changed, run_as("www-data"))
    if process is not None:  # it may not have read the file since an earlier change
        before = {*process.family()}
        process.send(signal.SIGHUP)
        _wait(lambda: not {*process.family()} <= before, "nginx does not read its file again")


def _inside(shop: Any, state: State) -> Sequence[str]:
    """Returns the beginning of a command in the network of the service's container, the first if there are several."""
    running = shop.processes().get(state["service"])
    if not running:
        raise StartError(f"{state['service']} does not run.")
    return ["nsenter", "--net", f"--target={running[0].pid}"]


def _rules(state: State) -> Iterator[tuple[str, ...]]:
    """Yields rules that lead new connections to the forwarder, and reset those that exist."""
    own = ("--protocol", "tcp", "--destination", state["host"], "--dport", str(state["port"]))
    others = (*own, "-m", "mark", "!", "--mark", str(MARK))
    yield ("nat", *others, "--jump", "REDIRECT", "--to-ports", str(state["listen"]))
    yield ("filter", *others, "--tcp-flags", "RST", "NONE", "--jump", "REJECT", "--reject-with", "tcp-reset")


def _filter(shop: Any, state: State, action: str, rule: Sequence[str]) -> None:
    table, *words = rule
    argv = [*_inside(shop, state), "iptables", "--wait", "5", "--table", table, action, "OUTPUT", *words]
    output(*argv, timeout=TIMEOUT)


def _has(shop: Any, state: State, rule: Sequence[str]) -> bool:
    """Returns whether the rule is there. A container that has stopped or started again has none."""
    if not shop.processes().get(state["service"]):
        return False
    try:
        _filter(shop, state, "-C", rule)
    except StartError:
        _filter(shop, state, "-S", rule[:1])  # raises StartError if the rules cannot be read at all
        return False
    return True


def _listens(process: Process, port: int) -> bool:
    """Returns whether anything listens on the port, in the network of that process."""
    if not process.alive():
        raise StartError("The forwarder ended at once; its log says why.")
    return f":{port:04X} 00000000:0000 0A" in Path(f"/proc/{process.pid}/net/tcp").read_text()


def _wait(done: Any, otherwise: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not done():
        if time.monotonic() > deadline:
            raise StartError(f"{otherwise} within {TIMEOUT:g} s.")
        time.sleep(0.02)
