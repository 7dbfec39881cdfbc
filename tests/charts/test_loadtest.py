"""Tests of the chart of the load test: its Jobs, what they reach, and the gate after an upgrade."""

from typing import Any

import pytest
import yaml
from release import ROOT
from rendering import Objects, rendered, template

LEADER, WORKER = "loadtest-leader-1", "loadtest-worker-1"


@pytest.fixture(scope="module")
def load() -> Objects:
    return rendered("loadtest", "workers=3", "config.USERS=200", "config.TIME=2m")


@pytest.fixture(scope="module")
def shop() -> Objects:
    gate = yaml.safe_load((ROOT / "charts/shop/values-gate.yaml").read_text())["loadtest"]
    values = [f"loadtest.{name}={str(value).lower()}" for name, value in gate.items() if name != "config"]
    config = {name: str(value).replace(",", r"\,") for name, value in gate["config"].items()}
    return rendered("shop", *values, *(f"loadtest.config.{name}={value}" for name, value in config.items()))


def pod(objects: Objects, job: str) -> dict[str, Any]:
    found: dict[str, Any] = objects["Job", job]["spec"]["template"]["spec"]
    return found


def variables(objects: Objects, job: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod(objects, job)["containers"][0]["env"]}


def test_it_is_not_part_of_the_shop_unless_asked_for() -> None:
    assert not [name for _, name in rendered("shop") if name.startswith("loadtest")]


def test_the_leader_waits_for_all_workers_and_its_exit_status_counts(load: Objects) -> None:
    assert load["Job", LEADER]["spec"]["backoffLimit"] == 0
    assert load["Job", WORKER]["spec"]["parallelism"] == load["Job", WORKER]["spec"]["completions"] == 3
    assert variables(load, LEADER)["LOCUST_EXPECT_WORKERS"] == "3"
    assert variables(load, WORKER)["LOCUST_MASTER_NODE_HOST"] == LEADER
    assert load["Service", LEADER]["spec"]["selector"] == {"batch.kubernetes.io/job-name": LEADER}


def test_both_get_the_settings_of_the_run_and_the_password_only_as_a_file(load: Objects) -> None:
    for job in (LEADER, WORKER):
        given = variables(load, job)
        assert (given["SHAPE"], given["USERS"], given["TIME"]) == ("steady", "200", "2m")
        assert given["ADMIN_PASSWORD_FILE"] == "/run/secrets/admin-password"
        assert not {"SEED", "PERSONAS", "ADMIN_PASSWORD"} & given.keys()


def test_without_a_secret_no_password_is_mounted() -> None:
    objects = rendered("loadtest", "secrets.admin-password.name=")
    assert "secrets" not in {each["name"] for each in pod(objects, LEADER)["volumes"]}


def test_its_pods_are_restricted_have_no_token_and_end(load: Objects) -> None:
    for job in (LEADER, WORKER):
        spec = pod(load, job)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"] == "256Mi"
        assert load["Job", job]["spec"]["activeDeadlineSeconds"] == 1800
        assert load["Job", job]["spec"]["ttlSecondsAfterFinished"] == 3600


def test_workers_reach_leader_and_edge_and_nothing_reaches_them(load: Objects) -> None:
    def rules(name: str, direction: str, peers: str) -> set[tuple[str, int]]:
        found = set()
        for rule in load["NetworkPolicy", name]["spec"][direction] or ():
            for peer in rule[peers]:
                app = peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name", "DNS")
                found |= {(app, port["port"]) for port in rule["ports"]}
        return found

    assert rules("loadtest-leader", "ingress", "from") == {("loadtest-worker", 5557)}
    assert rules("loadtest-leader", "egress", "to") == {("DNS", 53), ("edge", 8080)}
    assert rules("loadtest-worker", "ingress", "from") == set()
    assert rules("loadtest-worker", "egress", "to") == {("DNS", 53), ("edge", 8080), ("loadtest-leader", 5557)}


def test_results_are_kept_by_a_second_container(load: Objects) -> None:
    kept = rendered("loadtest", "keepResults=true")
    assert [each["name"] for each in pod(load, LEADER)["containers"]] == ["loadtest"]
    for job in (LEADER, WORKER):
        assert [each["name"] for each in pod(kept, job)["containers"]] == ["loadtest", "results"]


def test_as_a_gate_it_is_one_job_after_an_upgrade(shop: Objects) -> None:
    found = {key: each for key, each in shop.items() if key[1].startswith("loadtest")}
    assert {kind for kind, _ in found} == {"Job", "NetworkPolicy", "ServiceAccount"}
    job = found["Job", "loadtest-gate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-upgrade"
    assert job["spec"]["backoffLimit"] == 0
    assert not any(name.startswith("LOCUST_MODE") for name in variables(shop, "loadtest-gate"))


def test_a_release_of_its_own_fits_beside_the_gate(load: Objects, shop: Objects) -> None:
    assert not load.keys() & shop.keys()
    assert (
        shop["NetworkPolicy", "loadtest-gate"]["spec"]["podSelector"]
        != load["NetworkPolicy", "loadtest-leader"]["spec"]["podSelector"]
    )


def test_a_gate_with_workers_is_refused() -> None:
    done = template("loadtest", "gate=true", "workers=1")
    assert "loadtest: gate requires workers=0" in done.stderr
