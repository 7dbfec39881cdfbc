"""Grades lab 2: a container that did not start is repaired, and is still protected."""

import time
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import engine_answers, said, told

MEMORY = 192 * 2**20
WITHIN = 10.0
"""Seconds in which psp must answer."""


def compose_answers() -> None:
    said("docker", "compose", "version")


lab = Lab()
lab.start("a Docker Engine", remedy="start Docker", look=engine_answers)
lab.start("Docker Compose", remedy="install the Compose plugin of Docker", look=compose_answers)
lab.question("c", hint="Compare the container's ID before and after the change.")
lab.question("b", hint="Look at `docker ps` while the tests run: which port of your machine leads to 6379?")
lab.question("a", hint="Stop a container, and ask Docker for its logs.")
lab.question("c", hint="137 is 128 + 9. Which signal has the number 9?")
lab.question("b", hint="Each container has a network of its own. Whose 127.0.0.1 is it?")


@lab.check(
    "psp answers on port 8902",
    points=3,
    hint="Does it run? If not: its exit status, and its log. If it does: on which address does it listen?",
)
def answers() -> None:
    until = time.monotonic() + WITHIN
    while True:
        found = container()
        state = found["State"]
        try:
            with urlopen("http://localhost:8902/health/live", timeout=2):
                return
        except (URLError, OSError):
            if state["Status"] != "running":
                why = state["Error"] or f"exit status {state['ExitCode']}"
                raise Missing(f"its container is {state['Status']}: {why}") from None
            if time.monotonic() > until:
                raise Missing("its container runs, but does not answer") from None
            time.sleep(0.2)


@lab.check(
    "it is still protected: a read-only file system, no capabilities, no root, a network of its own, at most 192 MB",
    points=4,
    hint="Compare `docker inspect` of your container with what the colleague's file asked for.",
)
def is_protected() -> None:
    found = container()
    if found["State"]["Status"] != "running":
        raise Missing("its container does not run")
    host = found["HostConfig"]
    dropped = [name.upper() for name in host["CapDrop"] or []]
    problems = {
        "its file system can be written": not host["ReadonlyRootfs"],
        "it has its capabilities": "ALL" not in dropped or host["CapAdd"] or host["Privileged"],
        "its process is root": said("docker", "exec", found["Id"], "id", "-u") == "0",
        "it uses the network of this machine": host["NetworkMode"] == "host",
        "its memory has no limit of 192 MB": not 0 < host["Memory"] <= MEMORY,
    }
    if any(problems.values()):
        raise Missing("; ".join(problem for problem, there in problems.items() if there))


def container() -> dict[str, Any]:
    labels = ("project=lab02", "service=psp")
    filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    names = said("docker", "ps", "--all", "--quiet", *filters).split()
    if not names:
        raise Missing("the Compose project lab02 has no container of psp")
    found: dict[str, Any] = told("docker", "inspect", names[0])[0]
    files = found["Config"]["Labels"].get("com.docker.compose.project.config_files", "")
    if "broken.yaml" not in files:
        raise Missing(f"its container was started with {files}")
    return found
