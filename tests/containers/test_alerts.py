"""The unit tests of the alerts also hold for the Prometheus of the containers, which is newer than Debian's."""

from pathlib import Path

import yaml


def test_every_alert_fires_and_is_silent_as_its_unit_test_says(docker, root: Path) -> None:
    image = yaml.safe_load((root / "compose.yaml").read_text())["services"]["prometheus"]["image"]
    folder = root / "deploy/prometheus"
    tests = (f"/prometheus/tests/{path.name}" for path in folder.glob("tests/*.yaml"))
    run = ("run", "--rm", "--network", "none", "--volume", f"{folder}:/prometheus:ro", "--entrypoint", "promtool")
    docker(*run, image, "test", "rules", *tests)
