"""Fixtures: the images of this clone under the tag `tests`, and containers that are removed with their test."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[2]
TAG = "tests"
DOCKERFILES = {path.parent.name: path for path in sorted(ROOT.glob("*/*/Dockerfile"))}
DOCKERFILES["loadtest"] = ROOT / "loadtests/Dockerfile"
HARDENED = ("--read-only", "--user", "65532", "--cap-drop", "ALL", "--tmpfs", "/tmp")
PSP = {"WEBHOOK_URL": "http://127.0.0.1:9/", "PSP_WEBHOOK_SECRET": "only-for-these-tests", "SLOW_SECONDS": "2"}

Docker = Callable[..., str]
Attempt = Callable[..., subprocess.CompletedProcess[str]]
Answers = Callable[[httpx2.Client, str], None]
Serve = Callable[..., contextlib.AbstractContextManager[tuple[str, httpx2.Client]]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root folder of the clone."""
    return ROOT


@pytest.fixture(scope="session")
def attempt() -> Attempt:
    """`attempt("run", …)` runs docker in the clone, and returns the completed process."""

    def attempt(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options
        )

    return attempt


@pytest.fixture(scope="session")
def docker(attempt: Attempt) -> Docker:
    """`docker("run", …)` runs docker, which must succeed, and returns its output."""

    def docker(*arguments: str, **options: object) -> str:
        done = attempt(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return docker


@pytest.fixture(scope="session")
def dockerfiles() -> Mapping[str, Path]:
    """The Dockerfiles by image name."""
    return DOCKERFILES


@pytest.fixture(scope="session")
def images(docker: Docker) -> Iterator[Mapping[str, str]]:
    """The reference of each image by its name: `images["catalog"]`. Builds all images."""
    docker("buildx", "bake", "--progress", "plain", env=os.environ | {"IMAGES": "quayside", "TAG": TAG})
    images = {name: f"quayside/{name}:{TAG}" for name in DOCKERFILES}
    yield images
    docker("rmi", *images.values())


@pytest.fixture(params=DOCKERFILES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each image in turn."""
    given: str = request.param
    return given


@pytest.fixture(params=[name for name in DOCKERFILES if name not in ("shopctl", "loadtest")])
def service(request: pytest.FixtureRequest) -> str:
    """The name of each service's image in turn."""
    given: str = request.param
    return given


@pytest.fixture
def image(images: Mapping[str, str], name: str) -> str:
    """The reference of each image in turn."""
    return images[name]


@pytest.fixture(scope="session")
def hardened() -> tuple[str, ...]:
    """The options of `docker run` with which every image must work."""
    return HARDENED


@pytest.fixture(scope="session")
def wait_for() -> Answers:
    """`wait_for(client, "/path")` returns when the path answers 200."""

    def wait_for(client: httpx2.Client, path: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(httpx2.TransportError):
                if client.get(path).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{client.base_url} did not answer within {seconds} s")

    return wait_for


@pytest.fixture(scope="session")
def serve_psp(docker: Docker, wait_for: Answers) -> Serve:
    """`serve_psp(image)` runs the sandbox provider, hardened, and yields its container and a client.

    It is the only service that does not need another.
    """

    @contextlib.contextmanager
    def serving(image: str) -> Iterator[tuple[str, httpx2.Client]]:
        environment = [f"--env={name}={value}" for name, value in PSP.items()]
        container = docker("run", "--detach", "--publish", "127.0.0.1::8000", *HARDENED, *environment, image)
        try:
            address = docker("port", container, "8000")
            with httpx2.Client(base_url=f"http://{address}", timeout=10, trust_env=False) as client:
                wait_for(client, "/health/ready")
                yield container, client
        finally:
            docker("rm", "--force", "--volumes", container)

    return serving
