"""Tests that Skaffold builds, deploys and verifies the shop, and copies changed code into its pods."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from release import ROOT, Release, run, until

pytestmark = [
    pytest.mark.timeout(420),
    pytest.mark.skipif(not shutil.which("skaffold"), reason="skaffold is not installed"),
]

NAMESPACE = "quayside-skaffold"
LOCAL = (".git", ".venv", ".run", "*_cache", "__pycache__")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of this repository that may be changed, with a separate namespace for its shop."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, symlinks=True, ignore=shutil.ignore_patterns(*LOCAL))
    for name in ("skaffold.yaml", "charts/verify.yaml", "charts/namespace.yaml"):
        file = clone / name
        file.write_text(re.sub(r"(name(?:space)?: )quayside\b", rf"\1{NAMESPACE}", file.read_text()))
    return clone


@pytest.fixture
def deployed(registry: str) -> Iterator[Release]:
    release = Release(registry, namespace=NAMESPACE)
    release.remove()
    try:
        yield release
    finally:
        release.remove()


def test_dev_deploys_verifies_and_reloads_what_changes(clone: Path, deployed: Release, figures: list[str]) -> None:
    log = clone.parent / "log"
    options = ["--default-repo", deployed.registry]
    with log.open("w") as output:
        command = ["skaffold", "dev", "--port-forward=off", *options]
        dev = subprocess.Popen(command, cwd=clone, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: "Watching for changes" in log.read_text() or dev.poll() is not None, 300, "skaffold dev")
        assert dev.poll() is None, log.read_text()

        verify = f"skaffold build --quiet {' '.join(options)} | skaffold verify --build-artifacts -"
        assert "is CONFIRMED" in run("sh", "-c", verify, cwd=clone)
        ours = [pod for service in ("catalog", "order", "psp") for pod in deployed.pods(service)]
        assert all("@sha256:" in pod["spec"]["containers"][0]["image"] for pod in ours)

        before = {pod["metadata"]["name"] for pod in deployed.pods("catalog")}
        main = clone / "services/catalog/src/catalog/main.py"
        main.write_text(main.read_text().replace('title="', 'title="Changed '))
        began = time.monotonic()
        until(lambda: "Changed" in title(deployed), 90, "catalog still runs the old code")
        figures.append(f"skaffold dev: a change was loaded after {time.monotonic() - began:.1f} s")
        assert {pod["metadata"]["name"] for pod in deployed.pods("catalog")} == before
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait(120)
    assert deployed.releases() == [], "skaffold dev removes its deployment when it ends"


def title(release: Release) -> str:
    """Returns the title of the catalog's API, read inside its pod."""
    address = "http://localhost:8000/api/catalog/openapi.json"
    look = f"import json, urllib.request as http; print(json.load(http.urlopen({address!r}))['info']['title'])"
    return release.kubectl("exec", "deployment/catalog", "--", "python", "-c", look, check=False)
