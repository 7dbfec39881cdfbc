"""The load test of a shop in Compose: a leader and its workers, in containers that reach only the edge."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chassis.local.processes import StartError
from shopctl.compose import ComposeShop
from shopctl.console import err

__all__ = ["run"]

LEADER, WORKER = "load-leader", "load-worker"
QUICKLY = 300.0
"""Seconds for a command of Docker that does not wait for the load test: the first build takes longest."""


def run(shop: ComposeShop, settings: Mapping[str, str], folder: Path, workers: int, seconds: float) -> int:
    """Runs a load test with these variables, and returns the leader's exit status.

    The leader's log goes to stdout. The files of the run are in `folder` afterwards, also after Ctrl-C. Raises
    StartError if the containers do not start, or the load test has not ended after `seconds`.
    """
    docker = _Docker(shop, {**settings, "LOAD_RUN": folder.name, "LOAD_WORKERS": str(workers)})
    with _kept(docker, folder):
        docker.build()
        docker.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", LEADER, WORKER)
        docker.follow(seconds)
        return docker.status()


class _Docker:
    def __init__(self, shop: ComposeShop, settings: Mapping[str, str]) -> None:
        self._shop, self._environment = shop, {**shop.environment, **settings}

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self._run(*self._shop.command, "--profile", "load", *arguments, check=check)

    def build(self) -> None:
        """Builds the image, which is done at once if nothing has changed. Pulled images are left alone."""
        if not self._environment.get("TAG"):
            self._run("docker", "buildx", "bake", "--progress", "plain", "loadtest")

    def follow(self, seconds: float) -> None:
        command = ["docker", "logs", "--follow", *self._shop.containers(LEADER)]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise StartError(f"The load test has not ended after {seconds:.0f} s; it is stopped.") from None

    def status(self) -> int:
        """Returns the leader's exit status, and reports workers that did not end well."""
        (leader,) = self._ended(LEADER).values()
        for name, state in self._ended(WORKER).items():
            if state["ExitCode"]:
                why = "ran out of memory" if state["OOMKilled"] else f"ended with exit status {state['ExitCode']}"
                err.print(f"{name} {why}.", markup=False)
        return int(leader["ExitCode"])

    def _ended(self, service: str) -> dict[str, dict[str, Any]]:
        """Returns the state of each container of a service, by name."""
        found = json.loads(self._run("docker", "inspect", *self._shop.containers(service)))
        return {each["Name"].lstrip("/"): each["State"] for each in found}

    def _run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(
            argv,
            env=self._environment,
            cwd=self._shop.place.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=QUICKLY,
            check=False,
        )
        if check and done.returncode:
            raise StartError(f"The load test could not be run in containers:\n{done.stderr.strip()[-500:]}")
        return done.stdout


@contextmanager
def _kept(docker: _Docker, folder: Path) -> Iterator[None]:
    """Copies the files of the run into `folder` at the end, and removes the containers."""
    try:
        yield
    finally:
        docker.compose("stop", LEADER, WORKER, check=False)
        folder.mkdir(parents=True, exist_ok=True)
        docker.compose("cp", f"{LEADER}:/results/{folder.name}/.", str(folder), check=False)
        remove = ("--entrypoint", "rm", WORKER, "-rf", f"/results/{folder.name}")
        docker.compose("run", "--rm", "--no-deps", *remove, check=False)
        docker.compose("rm", "--stop", "--force", LEADER, WORKER, check=False)
