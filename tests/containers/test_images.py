"""Tests of the images: they are small, hardened and reproducible, and run one process that stops cleanly."""

import io
import json
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(180)

BASE = "python:3.13-slim-trixie"
MEGABYTE = 1_000_000
ONE_IMAGE = 230 * MEGABYTE
ALL_IMAGES = 300 * MEGABYTE
LOAD_TEST = 80 * MEGABYTE
"""The image of the load test, which shares nothing with the others: Locust needs other packages."""


@dataclass(frozen=True)
class Entry:
    """A file or directory in an image."""

    path: PurePosixPath
    owner: str
    mode: int


@pytest.fixture(scope="module")
def entries(docker, images: Mapping[str, str]) -> Mapping[str, list[Entry]]:
    """The files and directories in /app and /venv of each image, without links."""
    command = r"find /app /venv -not -type l -printf '%p\t%u:%g\t%m\n'"
    found = {}
    for name, image in images.items():
        fields = [line.split("\t") for line in run(docker, image, "sh", "-c", command).splitlines()]
        found[name] = [Entry(PurePosixPath(path), owner, int(mode, 8)) for path, owner, mode in fields]
    return found


@pytest.fixture(scope="module")
def alike(images: Mapping[str, str]) -> Mapping[str, str]:
    """The images that share their layers: all except the load test's."""
    return {name: image for name, image in images.items() if name != "loadtest"}


# --- size and shared layers --------------------------------------------------------------------------


def test_an_image_is_small(docker, image: str, name: str) -> None:
    assert size(docker, image) - size(docker, BASE) <= (LOAD_TEST if name == "loadtest" else ONE_IMAGE)


def test_all_images_together_are_small(docker, alike: Mapping[str, str]) -> None:
    base, shared = size(docker, BASE), dependencies(docker, alike["psp"])
    own = {name: size(docker, image) - base - shared for name, image in alike.items()}

    assert shared + sum(own.values()) <= ALL_IMAGES
    assert max(own.values()) < 2.5 * MEGABYTE, "an image adds only its code"


def test_images_share_every_layer_except_their_own_code(docker, alike: Mapping[str, str]) -> None:
    base = layers(docker, BASE)
    found = {name: layers(docker, image) for name, image in alike.items()}

    shared = len(base) + 1
    assert all(each[: len(base)] == base for each in found.values())
    assert len({tuple(each[:shared]) for each in found.values()}) == 1
    own = {name: len(each) - shared for name, each in found.items()}
    assert own == dict.fromkeys(alike, 1) | {"psp": 2}, "one layer of code; psp also has the directory of its ledger"


def test_dockerfiles_have_the_same_text_for_shared_layers(dockerfiles: Mapping[str, Path]) -> None:
    texts = {name: path.read_text() for name, path in dockerfiles.items() if name != "loadtest"}

    first = {text[text.index("# The same lines") : text.index("FROM requirements AS code")] for text in texts.values()}
    assert len(first) == 1
    final = {name: text[text.index("\nENV PATH=") : text.index("COPY --from=code")] for name, text in texts.items()}
    assert "UVICORN" not in final.pop("shopctl"), "shopctl is the only image that serves no HTTP"
    assert len(set(final.values())) == 1


# --- contents ----------------------------------------------------------------------------------------


def test_an_image_has_labels_an_unprivileged_user_and_no_secrets(docker, image: str, name: str) -> None:
    config = inspect(docker, image)["Config"]

    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert labels == {"title": f"Quayside {name}", "description": labels["description"], "licenses": "Apache-2.0"}
    assert labels["description"]
    assert config["User"] == "65532:65532"
    command = (config.get("Entrypoint") or []) + (config.get("Cmd") or [])
    assert command[0] in ("uvicorn", "python"), "exec form is required: no shell between the engine and the process"
    assert not [entry for entry in config["Env"] if re.search("PASSWORD|SECRET|TOKEN|_URL", entry)]


def test_only_root_owns_and_may_write_code_and_libraries(entries, name: str) -> None:
    assert {entry.owner for entry in entries[name]} == {"root:root"}
    assert [entry for entry in entries[name] if entry.mode & 0o022] == []


def test_every_module_has_its_bytecode(entries, name: str) -> None:
    paths = {str(entry.path) for entry in entries[name]}

    sources = {path for path in paths if path.endswith(".py")}
    assert len(sources) > 1000
    places = {"/app/": "/app/__pycache__/", "/venv/lib/": "/venv/bytecode/venv/lib/"}
    for source, bytecode in places.items():
        modules = [path.removesuffix(".py").removeprefix(source) for path in sources if path.startswith(source)]
        assert [module for module in modules if f"{bytecode}{module}.cpython-313.pyc" not in paths] == []


def test_an_image_holds_only_its_own_code(entries, name: str, root: Path) -> None:
    paths = [entry.path.relative_to("/app") for entry in entries[name] if entry.path.is_relative_to("/app")]

    load = {path.relative_to(root / "loadtests").parts[0] for path in (root / "loadtests").rglob("*.py")}
    special = {"psp": {"psp"}, "shopctl": {"chassis", "shopctl", "deploy"}, "loadtest": load}
    rooms = special.get(name, {"chassis", name})
    assert {path.parts[0] for path in paths if path.parts} == rooms | {"__pycache__"}
    code = [path for path in paths if not path.is_relative_to("deploy") and not path.is_relative_to("shopctl/demo")]
    pages = {"storefront": {".css", ".html", ".js", ".po", ".svg"}, "shopctl": {".css"}}
    assert {path.suffix for path in code} == {"", ".py", ".pyc"} | pages.get(name, set())
    assert not [path for path in code if "tests" in path.parts or path.name.startswith((".", "test_"))]


def test_the_course_is_in_no_image(docker, images, entries) -> None:
    folders = {entry.path for entry in entries["shopctl"]}
    assert not folders & {PurePosixPath("/app/shopctl/labs"), PurePosixPath("/app/shopctl/models")}

    commands = run(docker, images["shopctl"], "python", "-m", "shopctl", "--help")
    assert re.search(r"^\W+audit ", commands, re.MULTILINE)
    assert not re.search(r"^\W+(lab|model) ", commands, re.MULTILINE)


def test_the_build_context_holds_only_what_dockerfiles_copy(root: Path) -> None:
    build = ["docker", "buildx", "build", "--quiet", "--output", "type=tar,dest=-", "--file", "-", str(root)]
    done = subprocess.run(build, input=b"FROM scratch\nCOPY . /\n", capture_output=True, check=True)

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as context:
        files = [member for member in context if member.isfile()]
    places = {re.sub(r"^(libs|services|tools)/\w+/", "*/", member.name).partition("/")[0] for member in files}
    assert places == {"*", "deploy", "loadtests", "requirements"}
    assert all("/src/" in member.name for member in files if member.name.startswith(("libs", "services", "tools")))
    assert not [member.name for member in files if PurePosixPath(member.name).name.startswith(".")]
    assert sum(member.size for member in files) < 2.5 * MEGABYTE


def test_a_build_without_a_cache_from_another_clone_gives_the_same_image(docker, dockerfiles, root, tmp_path) -> None:
    build = ("buildx", "build", "--quiet", "--build-arg", "SOURCE_DATE_EPOCH=1", "--file")
    first = docker(*build, dockerfiles["psp"], root)
    clone = private_copy(root, tmp_path)
    second = docker(*build, clone / "services/psp/Dockerfile", "--no-cache", clone)
    docker("rmi", *{first, second})

    assert second == first


# --- processes ---------------------------------------------------------------------------------------


def test_a_hardened_service_reports_its_missing_settings(attempt, images, service: str, hardened) -> None:
    done = attempt("run", "--rm", "--network", "none", *hardened, images[service], timeout=60)

    assert done.returncode == 1
    problems = done.stderr.splitlines()
    assert problems
    assert all(re.match(rf"{service}: [A-Z_]+ is not set", line) for line in problems), done.stderr


def test_shopctl_runs_hardened(docker, images: Mapping[str, str], hardened) -> None:
    assert "audit" in docker("run", "--rm", "--network", "none", *hardened, images["shopctl"], "--help")


def test_modules_load_from_bytecode_and_a_run_writes_nothing(docker, image: str, name: str) -> None:
    # As root, so that nothing prevents it from writing.
    flags = ("--user", "0", "--network", "none", "--entrypoint", "python", "--env", "PYTHONVERBOSE=1")
    module = "locustfile" if name == "loadtest" else f"{name}.main"
    container = docker("create", *flags, image, "-c", f"import {module}")
    try:
        done = subprocess.run(["docker", "start", "--attach", container], capture_output=True, text=True)
        written = docker("diff", container)
    finally:
        docker("rm", "--force", "--volumes", container)

    assert done.returncode == 0, done.stderr[-500:]
    assert f"code object from '/venv/bytecode/app/{module.replace('.', '/')}." in done.stderr
    assert re.findall("code object from /.*", done.stderr) == [], "modules were compiled at startup"
    assert written == ""


def test_a_hardened_service_serves_with_one_process(docker, images: Mapping[str, str], serve_psp) -> None:
    with serve_psp(images["psp"]) as (container, client):
        paid = charge(client, "tok_visa")

        assert (paid.status_code, paid.json()["status"]) == (200, "succeeded")
        processes = docker("top", container, "-o", "pid,uid,args").splitlines()[1:]
        assert len(processes) == 1
        assert processes[0].split()[1] == "65532"


def test_after_sigterm_an_open_request_is_answered(docker, images: Mapping[str, str], serve_psp) -> None:
    with serve_psp(images["psp"]) as (container, client), ThreadPoolExecutor() as pool:
        answer = pool.submit(charge, client, "tok_slow")
        time.sleep(0.5)
        docker("stop", container)

        assert answer.result().json()["status"] == "succeeded"
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


# --- helpers -----------------------------------------------------------------------------------------


def inspect(docker, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return found


def size(docker, image: str) -> int:
    """Returns the unpacked size of all layers in bytes."""
    return int(inspect(docker, image)["Size"])


def layers(docker, image: str) -> list[str]:
    """Returns the digests of the layers, from the base upwards."""
    return list(inspect(docker, image)["RootFS"]["Layers"])


def dependencies(docker, image: str) -> int:
    """Returns the size in bytes of the layers from above the base up to the virtual environment."""
    history = json.loads(f"[{','.join(lines(docker, image))}]")[: -len(lines(docker, BASE))]  # the last layer first
    (venv,) = (n for n, each in enumerate(history) if each["CreatedBy"].startswith("COPY /venv "))
    return sum(int(each["Size"]) for each in history[venv:])


def lines(docker, image: str) -> list[str]:
    """Returns a JSON object for each layer, the last layer first."""
    return list(docker("history", "--no-trunc", "--human=false", "--format", "json", image).splitlines())


def run(docker, image: str, program: str, *arguments: str) -> str:
    """Runs a program in a container of the image, and returns its output."""
    found: str = docker("run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments)
    return found


def private_copy(root: Path, to: Path) -> Path:
    """Copies the sources of psp with new timestamps, readable only by their owner."""
    for place in ("requirements", "libs/chassis/src", "services/psp"):
        shutil.copytree(root / place, to / place, copy_function=shutil.copyfile)
    shutil.copyfile(root / ".dockerignore", to / ".dockerignore")
    for path in to.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return to


def charge(client, method: str) -> Any:
    body = {"order_id": method, "amount": 100, "currency": "EUR", "payment_method": method}
    return client.post("/charges", json=body, headers={"Idempotency-Key": method})
