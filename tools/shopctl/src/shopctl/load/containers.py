"""The load test of a shop in Compose: a leader and its workers, in containers that reach only the edge."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chassis.local.processes import StartError
from shopctl.compose import ComposeShop
from shopctl.console import err
from shopctl.load.locust import PATIENCE, LoadRun

__all__ = ["running"]

LEADER, WORKER = "load-leader", "load-worker"
FOLLOW = 'docker logs --follow "$0"; exit "$(docker wait "$0")"'
SAID = (0, 1, 2)
"""Exit statuses that the leader's log explains: passed, not passed, and a wrong setting."""
QUICKLY = 300.0
"""Seconds for a command of Docker that does not wait for the load test. The first build takes longest."""


@contextmanager
def running(run: LoadRun) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the containers. The process that it yields prints the leader's log, and ends with the leader's exit status.

    At the end of the block, a leader that still runs is asked to end, the files of the run are copied into its folder,
    and the containers are removed. Raises StartError if they do not start.
    """
    assert isinstance(run.shop, ComposeShop)
    settings = {**run.settings, "LOAD_RUN": run.folder.name, "LOAD_WORKERS": str(run.workers)}
    docker = _Docker(run.shop, settings)
    docker.build()
    following: subprocess.Popen[bytes] | None = None
    try:
        docker.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", LEADER, WORKER)
        command = ["sh", "-c", FOLLOW, *run.shop.containers(LEADER)]
        following = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        yield following
    finally:
        docker.compose("stop", "--timeout", f"{PATIENCE:.0f}", LEADER, check=False)
        docker.compose("stop", WORKER, check=False)
        if following:
            following.wait(QUICKLY)
        docker.report()
        docker.compose("cp", f"{LEADER}:/results/{run.folder.name}/.", str(run.folder), check=False)
        remove = ("--entrypoint", "rm", WORKER, "-rf", f"/results/{run.folder.name}")
        docker.compose("run", "--rm", "--no-deps", *remove, check=False)
        docker.compose("rm", "--stop", "--force", LEADER, WORKER, check=False)


class _Docker:
    def __init__(self, shop: ComposeShop, settings: Mapping[str, str]) -> None:
        self._shop, self._environment = shop, {**shop.environment, **settings}

    def build(self) -> None:
        """Builds the image, which is done at once if nothing has changed. Pulled images are left alone."""
        if not os.environ.get("TAG"):
            self._run("docker", "buildx", "bake", "--progress", "plain", "loadtest")

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self._run(*self._shop.command, "--profile", "load", *arguments, check=check)

    def report(self) -> None:
        """Names the containers that did not end well. The leader says itself why a gate failed."""
        for id in (*self._shop.containers(LEADER), *self._shop.containers(WORKER)):
            for found in json.loads(self._run("docker", "inspect", id, check=False)):
                if why := _trouble(found["State"]):
                    err.print(f"{found['Name'].lstrip('/')} {why}.", style="red", markup=False)

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


def _trouble(state: Mapping[str, Any]) -> str:
    if state["OOMKilled"]:
        return "ran out of memory"
    return f"ended with exit status {state['ExitCode']}" if state["ExitCode"] not in SAID else ""
