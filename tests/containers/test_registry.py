"""Tests of pushing images: a pushed image can be pulled by digest and runs; a missing registry is an error."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.timeout(180)

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def registry(docker, wait_for) -> Iterator[httpx2.Client]:
    """A client of an empty registry."""
    container = docker("run", "--detach", "--publish", "127.0.0.1::5000", "registry:3")
    try:
        port = docker("port", container, "5000").rpartition(":")[2]
        with httpx2.Client(base_url=f"http://localhost:{port}", trust_env=False) as client:
            wait_for(client, "/v2/")
            yield client
    finally:
        docker("rm", "--force", "--volumes", container)


def test_a_pushed_image_is_pulled_by_its_digest_and_runs(docker, registry, root: Path, serve_psp) -> None:
    repository = f"localhost:{registry.base_url.port}/quayside/psp"
    push(root, f"localhost:{registry.base_url.port}").check_returncode()
    docker("rmi", f"{repository}:test")

    answer = registry.head("/v2/quayside/psp/manifests/test", headers={"Accept": MANIFESTS})
    pulled = f"{repository}@{answer.headers['Docker-Content-Digest']}"
    docker("pull", "--quiet", pulled)
    try:
        labels = json.loads(docker("image", "inspect", pulled))[0]["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == "test"
        assert labels["org.opencontainers.image.revision"] == revision(root)
        with serve_psp(pulled) as (_, client):
            assert client.get("/health/live").status_code == 200
    finally:
        docker("rmi", pulled)


def test_a_missing_registry_is_an_error(docker, root: Path) -> None:
    done = push(root, "localhost:1")
    docker("rmi", "localhost:1/quayside/psp:test")  # it was built, but not pushed

    assert done.returncode != 0
    assert "localhost:1/" in done.stderr
    assert "connection refused" in done.stderr


def test_a_release_has_every_platform_with_bill_of_materials_and_provenance(docker, dockerfiles) -> None:
    targets = json.loads(docker("buildx", "bake", "--print", "release"))["target"]

    assert targets.keys() == {f"{name}-release" for name in dockerfiles}
    for target in targets.values():
        assert target["platforms"] == ["linux/amd64", "linux/arm64"]
        assert target["attest"] == ["type=sbom", "type=provenance,mode=max"]


def push(root: Path, registry: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "push", f"REGISTRY={registry}", "TAG=test", "BAKE=psp"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def revision(root: Path) -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
