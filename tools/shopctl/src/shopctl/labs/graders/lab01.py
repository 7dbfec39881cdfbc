"""Grades lab 1: an image of the sandbox payment provider, built by the learner's own Dockerfile."""

import json
import tarfile
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from urllib.error import URLError
from urllib.request import urlopen

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import engine_answers, said, told
from shopctl.place import Place

IMAGE = "lab01/psp:mine"
CODE = "psp/main.py"
PACKAGE = "/uvicorn/__init__.py"
A_CHANGE = 1_000_000
"""Bytes that a layer with nothing but the service's code does not reach."""
A_KEY = 4096
"""Bytes of the largest file that is searched for the key."""

WRITABLE = """
import os, psp.main, uvicorn
for file in (psp.main.__file__, uvicorn.__file__):
    for path in (file, os.path.dirname(file)):
        if os.access(path, os.W_OK):
            print(path)
"""

KILLED = 128 + 9
TO_STOP = 8
"""Seconds that a container has to stop."""

lab = Lab()
lab.start("a Docker Engine", remedy="start Docker", look=engine_answers)
lab.question("b", hint="Which step of the first Dockerfile comes first: the copy of the code, or the packages?")
lab.question("c", hint="Compare the three images with `docker image ls lab01/psp`.")
lab.question("c", hint="Count the layers that only the second image of the shop has, and look at their size.")
lab.question("c", hint="A layer is never changed. What can a later layer do about a file of an earlier one?")
lab.question("a", hint="Which process gets the signal, and does it tell its child?")


@lab.check(
    f"{IMAGE} answers on port 8000, and stops when it is told to",
    points=2,
    hint="Run it as the page runs the others, and look at its logs. Which is its first process?",
)
def answers_and_stops() -> None:
    if (status := tried(IMAGE).status) == KILLED:
        raise Missing(f"it did not stop within {TO_STOP} s and was killed (exit status {status})")


@lab.check(
    "its process is not root, and can change neither its code nor its packages",
    points=2,
    hint="The image says which user runs the process; nothing says that this user must own the files.",
)
def is_unprivileged() -> None:
    run = tried(IMAGE)
    if run.user == "0":
        raise Missing("its process runs as root")
    if run.writable:
        raise Missing(f"its process may write {run.writable[0]}")


@lab.check(
    "after a change of the code, only a layer of less than 1 MB is new",
    points=2,
    hint="What changes often belongs above what changes rarely. In which order are the layers?",
)
def is_layered() -> None:
    image = opened(IMAGE)
    code = [n for n, layer in enumerate(image.layers) if layer.holds(CODE)]
    packages = [n for n, layer in enumerate(image.layers) if layer.holds(PACKAGE)]
    if not code or not packages:
        raise Missing(f"no layer holds {CODE if not code else 'the package uvicorn'}")
    if min(code) <= max(packages):
        raise Missing("the code lies below the packages, or in the same layer, so they are built again with it")
    above = sum(layer.size for layer in image.layers[min(code) :])
    if above >= A_CHANGE:
        raise Missing(f"the layers from the code upwards have {above / 1_000_000:.0f} MB")


@lab.check(
    "it was built with the key, and the key is in none of its layers, nor in its history",
    points=2,
    hint="BuildKit can show a file to a single RUN, so that no layer ever holds it: look for secret mounts.",
)
def hides_the_key() -> None:
    file = Place.here().run / "lab01" / "secret.key"
    if not file.exists():
        raise Missing("there is no .run/lab01/secret.key")
    key = file.read_bytes().strip()
    image = opened(IMAGE)
    if key in image.config:
        raise Missing("`docker history --no-trunc` or the environment shows the key")
    for n, layer in enumerate(image.layers, 1):
        if name := layer.containing(key):
            raise Missing(f"layer {n} of {len(image.layers)} holds the key, in /{name}")
    checksum = sha256(file.read_bytes()).hexdigest().encode()
    if not any(layer.containing(checksum) for layer in image.layers):
        raise Missing("no file in the image holds the key's SHA-256, so it was not built with the key")


# --- containers and images ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a container did: its user, the paths of code and packages that it may write, and its exit status."""

    user: str
    writable: list[str]
    status: int


@cache
def tried(image: str) -> Run:
    """Runs a container of this image, and stops it. Raises Missing with what it logged if it does not answer."""
    settings = ("PSP_DATABASE=/tmp/psp.sqlite", "WEBHOOK_URL=http://localhost:1/", "PSP_WEBHOOK_SECRET=" + 16 * "x")
    options = [word for each in settings for word in ("--env", each)]
    said("docker", "image", "inspect", image)
    container = said("docker", "run", "--detach", "--publish", "127.0.0.1::8000", *options, image)
    try:
        wait_until_it_answers(container)
        user = said("docker", "exec", container, "id", "-u")
        writable = said("docker", "exec", container, "python", "-c", WRITABLE).splitlines()
        said("docker", "stop", "--time", str(TO_STOP), container)
        return Run(user, writable, told("docker", "inspect", "--format", "{{.State.ExitCode}}", container))
    finally:
        said("docker", "rm", "--force", "--volumes", container)


def wait_until_it_answers(container: str, within: float = 20) -> None:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if told("docker", "inspect", "--format", "{{json .State.Running}}", container) is not True:
            raise Missing(f"it ended: {last_line(container)}")
        with suppress(URLError, ConnectionError, TimeoutError):
            address = said("docker", "port", container, "8000/tcp").splitlines()[0]
            with urlopen(f"http://{address}/health/live", timeout=2):
                return
        time.sleep(0.2)
    raise Missing(f"it does not answer on port 8000 after {within:.0f} s: {last_line(container)}")


def last_line(container: str) -> str:
    lines = said("sh", "-c", f"docker logs {container} 2>&1").splitlines()
    return lines[-1] if lines else "it logged nothing"


@dataclass(frozen=True)
class Layer:
    """A layer of an image: the files that it adds, and the start of the small ones."""

    size: int
    files: Mapping[str, bytes]

    def holds(self, end: str) -> bool:
        return any(f"/{name}".endswith(end) for name in self.files)

    def containing(self, text: bytes) -> str | None:
        """The first file that contains this text."""
        return next((name for name, content in self.files.items() if text in content), None)


@dataclass(frozen=True)
class Image:
    config: bytes
    layers: list[Layer]


@cache
def opened(image: str) -> Image:
    """Returns the layers of an image, lowest first, and its configuration as JSON."""
    with tempfile.NamedTemporaryFile() as file:
        said("docker", "save", "--output", file.name, image)
        with tarfile.open(file.name) as saved:
            manifest = json.loads(content(saved, "manifest.json"))[0]
            layers = [layer(saved, name) for name in manifest["Layers"]]
            return Image(content(saved, manifest["Config"]), layers)


def layer(saved: tarfile.TarFile, name: str) -> Layer:
    files, size = {}, 0
    with tarfile.open(fileobj=saved.extractfile(name)) as found:
        for member in found:
            if member.isfile():
                size += member.size
                files[member.name] = content(found, member) if member.size <= A_KEY else b""
    return Layer(size, files)


def content(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""
