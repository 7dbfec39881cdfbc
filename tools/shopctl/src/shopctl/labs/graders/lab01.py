"""Grades lab 1: an image of the sandbox payment provider, built by the learner's own Dockerfile."""

import json
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from shopctl.labs import Lab, Missing
from shopctl.labs.looking import engine_builds, said, told
from shopctl.place import Place

IMAGE = "lab01/psp:mine"
AGAIN, CHANGED = "lab01/psp:again", "lab01/psp:changed"
"""What the learner's Dockerfile builds before and after a change of the code; removed when the grader has looked."""
A_CHANGE = 1_000_000
"""Bytes that layers with nothing but the service's code do not reach."""

WRITABLE = """
import os, stat

CODE = (".py", ".pyc", ".so", ".pth")

def may_change(path):
    state = os.lstat(path)
    if state.st_uid == os.getuid():
        return True
    sticky = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX
    return os.access(path, os.W_OK) and not sticky

def is_code(path):
    state = os.lstat(path)
    return stat.S_ISREG(state.st_mode) and (path.endswith(CODE) or state.st_mode & 0o111)

def parents(folder):
    return [*parents(os.path.dirname(folder)), folder] if folder != "/" else ["/"]

for folder, below, names in os.walk("/"):
    if folder == "/":
        below[:] = set(below) - {"proc", "sys", "dev"}
    code = [path for path in (os.path.join(folder, name) for name in names) if is_code(path)]
    found = next((path for path in [*parents(folder), *code] if may_change(path)), None)
    if code and found:
        print(found if found in code else f"{found}, and so change {code[0]}")
        break
"""
"""Prints the first file of code, of all in a container, that its user may write or replace."""

KILLED = 128 + 9
TO_STOP = 8
"""Seconds that a container has to stop."""

lab = Lab()
lab.start("Docker Engine 25 or newer, with buildx", remedy="start or update Docker", look=engine_builds)
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
        raise Missing(f"it was killed (exit status {status}): it did not end by itself within {TO_STOP} s")


@lab.check(
    "its process is not root, and can change neither its code nor its packages",
    points=2,
    hint="The image says which user runs the process. This user need not own files, nor the folders above them.",
)
def is_unprivileged() -> None:
    if fault := tried(IMAGE).fault:
        raise Missing(fault)


@lab.check(
    "a change of the code makes less than 1 MB of new layers",
    points=2,
    hint="In the Dockerfile, what changes often belongs after what changes rarely.",
)
def is_layered() -> None:
    before, after = built_twice(folder())
    new = [after.layers[id] for id in after.layers if id not in before.layers]
    if not new:
        raise Missing("a change of psp/main.py does not change the image")
    if (size := sum(layer.size for layer in new)) >= A_CHANGE:
        raise Missing(f"{size / 1_000_000:.0f} MB are new when psp/main.py has changed")


@lab.check(
    "it was built with the key, and the key is in none of its layers, nor in its history",
    points=2,
    hint="BuildKit can show a file to a single RUN, so that no layer ever holds it: look for secret mounts.",
)
def hides_the_key() -> None:
    file = folder() / "secret.key"
    if not file.exists():
        raise Missing("there is no .run/lab01/secret.key")
    key = file.read_bytes()
    (image,) = saved(IMAGE)
    if key.strip() in image.config:
        raise Missing("`docker history --no-trunc` or the environment shows the key")
    checksums = [sha256(text).hexdigest().encode() for text in (key, key.strip())]
    if any(checksum in image.config for checksum in checksums):
        raise Missing("the Dockerfile has the key's SHA-256; the build must compute it")
    for n, layer in enumerate(image.layers.values(), 1):
        if name := layer.containing(key.strip()):
            raise Missing(f"layer {n} of {len(image.layers)} holds the key, in /{name}")
    if not any(layer.containing(*checksums) for layer in reversed(image.layers.values())):
        raise Missing("no file in the image holds the key's SHA-256, so it was not built with the key")


def folder() -> Path:
    """Where the learner builds."""
    return Place.here().run / "lab01"


# --- a container of the image ------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a container did: the rights that it had and should not have, if any, and its exit status."""

    fault: str
    status: int


@cache
def tried(image: str) -> Run:
    """Runs a container of this image, and stops it. Raises Missing with what it logged if it does not answer."""
    settings = ("PSP_DATABASE=/tmp/psp.sqlite", "WEBHOOK_URL=http://localhost:1/", "PSP_WEBHOOK_SECRET=" + 16 * "x")
    options = [word for each in settings for word in ("--env", each)]
    said("docker", "image", "inspect", image)
    container = said("docker", "create", "--publish", "127.0.0.1::8000", *options, image)
    try:
        said("docker", "start", container)
        wait_until_it_answers(container)
        fault = fault_of(container)
        said("docker", "stop", "--time", str(TO_STOP), container)
        return Run(fault, told("docker", "inspect", "--format", "{{.State.ExitCode}}", container))
    finally:
        said("docker", "rm", "--force", "--volumes", container)


def fault_of(container: str) -> str:
    """Returns which process is root, or what its Python may write: that Python is asked, wherever it is installed."""
    lines = said("docker", "top", container, "-o", "pid,uid,gid,args").splitlines()[1:]
    processes = [line.split(maxsplit=3) for line in lines]
    for _, user, _, command in processes:
        if user == "0":
            return f"`{command}` runs as root"
    for _, user, group, command in processes:
        program = command.split()[0]
        if Path(program).name.startswith("python"):
            try:
                found = said("docker", "exec", "--user", f"{user}:{group}", container, program, "-c", WRITABLE)
            except Missing as missing:
                return str(missing)
            return found and f"its process may write {found}"
    return "none of its processes is Python"


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


# --- layers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A layer of an image, in the archive that `docker save` wrote."""

    saved: tarfile.TarFile
    name: str

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(member.size for _, member in self.files())

    def containing(self, *texts: bytes) -> str | None:
        """The first file that contains one of these texts."""
        for layer, member in self.files():
            found = content(layer, member)
            if any(text in found for text in texts):
                return member.name
        return None

    def files(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        with tarfile.open(fileobj=self.saved.extractfile(self.name)) as layer:
            yield from ((layer, member) for member in layer if member.isfile())


@dataclass(frozen=True)
class Image:
    """An image: its configuration as JSON, and its layers by the hash of their contents, lowest first."""

    config: bytes
    layers: dict[str, Layer]


def built_twice(folder: Path) -> list[Image]:
    """Builds a copy of the learner's folder, and again with one line more in psp; returns both images."""
    if not (folder / "Dockerfile").exists():
        raise Missing("there is no .run/lab01/Dockerfile")
    try:
        with tempfile.TemporaryDirectory() as name:
            copy = Path(name, "lab01")
            shutil.copytree(folder, copy, symlinks=True)
            build(copy, AGAIN)
            for path in copy.rglob("psp/main.py"):
                path.write_text(path.read_text() + '\nCHANGED_BY = "the grader"\n')
            build(copy, CHANGED)
        return saved(AGAIN, CHANGED)
    finally:
        for image in (AGAIN, CHANGED):
            with suppress(Missing):
                said("docker", "rmi", image)


def build(folder: Path, image: str) -> None:
    dockerfile = folder / "Dockerfile"
    secrets = [f"id={id},src={folder / 'secret.key'}" for id in secrets_of(dockerfile.read_text())]
    options = [word for each in secrets for word in ("--secret", each)]
    try:
        said("docker", "build", "--quiet", "--tag", image, *options, str(folder), within=300)
    except Missing as missing:
        raise Missing(f"it cannot be built again: {missing}") from None


def secrets_of(dockerfile: str) -> set[str]:
    """The names of the secrets that a Dockerfile mounts."""
    mounts = re.findall(r"--mount=(\S*type=secret\S*)", dockerfile)
    options = [dict(option.split("=", 1) for option in mount.split(",") if "=" in option) for mount in mounts]
    return {each.get("id") or Path(each.get("target") or each.get("dst", "")).name for each in options}


def saved(*images: str) -> list[Image]:
    """Opens images, from one archive, because most of their layers are the same."""
    said("docker", "image", "inspect", *images)
    with tempfile.NamedTemporaryFile() as file:
        said("docker", "save", "--output", file.name, *images)
        archive = tarfile.open(file.name)  # noqa: SIM115 – its layers are read later
    manifests = {tag: each for each in json.loads(content(archive, "manifest.json")) for tag in each["RepoTags"]}
    return [image_of(archive, manifests[tag]) for tag in images]


def image_of(archive: tarfile.TarFile, manifest: dict[str, Any]) -> Image:
    config = content(archive, manifest["Config"])
    hashes = json.loads(config)["rootfs"]["diff_ids"]
    layers = [Layer(archive, name) for name in manifest["Layers"]]
    return Image(config, dict(zip(hashes, layers, strict=True)))


def content(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""
