"""What the charts render to observe the shop: with our own tools, with a Prometheus Operator, with plain scraping."""

import json
import subprocess
from typing import Any

import pytest
import yaml
from release import ROOT
from rendering import Objects, rendered, template

ON = "global.observability.enabled=true"
SERVICES = ("cart", "catalog", "identity", "order", "payment", "storefront")
TOOLS = ("prometheus", "alertmanager", "jaeger", "grafana", "postgres-exporter", "valkey-exporter")
OPERATOR = "monitoring.coreos.com/v1"


@pytest.fixture(scope="module")
def off() -> Objects:
    return rendered("shop")


@pytest.fixture(scope="module")
def on() -> Objects:
    extra = ["prometheus.cadvisor.enabled=true", "grafana.enabled=true", "dashboards.enabled=true"]
    return rendered("shop", ON, *(f"observability.{each}" for each in extra), apis=OPERATOR)


def pod(objects: Objects, name: str, kind: str = "Deployment") -> dict[str, Any]:
    return dict(objects[kind, name]["spec"]["template"])


def env(objects: Objects, name: str) -> dict[str, str]:
    (container, *_) = pod(objects, name)["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"] or ()}


def peers(objects: Objects, name: str, direction: str) -> set[tuple[str, int]]:
    """Returns the apps, with a port, that a network policy names."""
    found = set()
    for rule in objects["NetworkPolicy", name]["spec"][direction]:
        for peer in rule.get("from", rule.get("to", ())):
            app = peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name")
            found |= {(app, port["port"]) for port in rule.get("ports", ()) if app}
    return found


def configuration(objects: Objects) -> dict[str, Any]:
    return dict(yaml.safe_load(objects["ConfigMap", "prometheus"]["data"]["prometheus.yml"]))


def jobs(pods: list[str], relabelings: list[dict[str, Any]], label: str) -> set[str]:
    """Returns the values of the label `job` that a list of relabelings gives to these apps."""
    (rule,) = [each for each in relabelings if each.get(label) == "job"]
    return {rule["replacement"]} if "replacement" in rule else {name.removesuffix("-exporter") for name in pods}


def test_without_it_there_is_no_tool_and_nothing_refers_to_one(off: Objects) -> None:
    assert not {name for _, name in off} & {*TOOLS}
    for service in SERVICES:
        assert not {"OTEL_EXPORTER_OTLP_ENDPOINT", "PROMETHEUS_URL"} & env(off, service).keys()
        assert not {app for app, _ in peers(off, service, "ingress") | peers(off, service, "egress")} & {*TOOLS}
    assert not any(kind in ("Role", "ClusterRole") for kind, _ in off)


def test_every_service_sends_traces_to_jaeger_and_is_scraped(on: Objects) -> None:
    for service in SERVICES:
        assert env(on, service)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"
        assert ("jaeger", 4318) in peers(on, service, "egress")
        assert (service, 4318) in peers(on, "jaeger", "ingress")
        assert ("prometheus", 8000) in peers(on, service, "ingress")
    assert ("prometheus", 15692) in peers(on, "rabbitmq", "ingress")


def test_the_edge_reports_to_containers_beside_it_and_serves_without_them(on: Objects, off: Objects) -> None:
    assert env(off, "edge")["EDGE_TELEMETRY"] == "off"
    assert env(on, "edge")["EDGE_TELEMETRY"] == "on"
    nginx, *exporters = pod(on, "edge")["spec"]["containers"]
    assert [each["name"] for each in exporters] == ["exporter", "nginx-exporter"]
    assert "readinessProbe" in nginx
    assert not any("readinessProbe" in each for each in exporters)
    assert len(pod(off, "edge")["spec"]["containers"]) == 1


def test_only_the_live_map_and_grafana_reach_prometheus(on: Objects) -> None:
    assert env(on, "storefront")["PROMETHEUS_URL"] == "http://prometheus:9090"
    assert ("prometheus", 9090) in peers(on, "storefront", "egress")
    assert {app for app, _ in peers(on, "prometheus", "ingress")} == {"storefront", "grafana", "prometheus"}
    assert "PROMETHEUS_URL" not in env(on, "order")


def test_only_prometheus_has_a_token_and_it_may_list_pods(on: Objects) -> None:
    pods = {name: pod(on, name, kind)["spec"] for kind, name in on if kind in ("Deployment", "StatefulSet")}
    assert [name for name, spec in pods.items() if spec["automountServiceAccountToken"]] == ["prometheus"]
    assert on["Role", "prometheus"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]
    assert not any(kind == "ClusterRole" for kind, _ in rendered("shop", ON))


def test_a_clusterrole_for_the_kubelets_permits_to_read_metrics(on: Objects) -> None:
    rules = on["ClusterRole", "default-prometheus"]["rules"]
    granted = {what: rule["verbs"] for rule in rules for what in rule["resources"]}
    assert granted == {"nodes": ["get", "list", "watch"], "nodes/metrics": ["get"]}


def test_two_of_everything_is_still_one_of_each_tool() -> None:
    objects = rendered("shop", ON, "global.replicas=2")
    counts = {name: objects["Deployment", name]["spec"]["replicas"] for name in ("prometheus", "jaeger", "order")}
    assert counts == {"prometheus": 1, "jaeger": 1, "order": 2}


def test_the_jobs_have_the_names_that_they_have_in_compose(on: Objects) -> None:
    compose = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    expected = {each["job_name"] for each in compose["scrape_configs"]}
    own, operator = set(), set()
    for each in configuration(on)["scrape_configs"]:
        if "kubernetes_sd_configs" in each and each["job_name"] != "cadvisor":
            (kept,) = [rule["regex"] for rule in each["relabel_configs"] if rule.get("action") == "keep"]
            pods = kept.split(";")[1].strip("()").split("|")
            own |= jobs(pods, each["relabel_configs"], "target_label")
    for (kind, _), monitor in on.items():
        if kind == "PodMonitor":
            (selected,) = monitor["spec"]["selector"]["matchExpressions"]
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            operator |= jobs(selected["values"], endpoint["relabelings"], "targetLabel")
    assert own == expected
    assert operator == expected - {"prometheus", "alertmanager"}  # these two are ours only


def test_each_scraped_port_is_a_named_port_of_its_pod(on: Objects) -> None:
    for (kind, name), monitor in on.items():
        if kind == "PodMonitor":
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            (selected,) = monitor["spec"]["selector"]["matchExpressions"]
            for app in selected["values"]:
                containers = pod(on, app, "StatefulSet" if app == "rabbitmq" else "Deployment")["spec"]["containers"]
                ports = [port["name"] for each in containers for port in each.get("ports", ())]
                assert ports.count(endpoint["port"]) == 1, (name, app, ports)


def test_the_tools_have_the_files_that_they_have_in_compose(on: Objects) -> None:
    def of_deploy(pattern: str) -> dict[str, str]:
        return {path.name: path.read_text() for path in (ROOT / "deploy").glob(pattern)}

    rules = of_deploy("prometheus/rules/*.yaml")
    assert {**on["ConfigMap", "prometheus"]["data"], "prometheus.yml": ""} == {**rules, "prometheus.yml": ""}
    assert on["ConfigMap", "alertmanager"]["data"] == of_deploy("alertmanager/alertmanager.yml")
    assert on["ConfigMap", "jaeger"]["data"] == of_deploy("jaeger/jaeger.yaml")
    dashboards = of_deploy("grafana/dashboards/*.json")
    runbooks = {path.name: path.read_text() for path in (ROOT / "docs/runbooks").glob("*.md")}
    files = {**dashboards, **of_deploy("grafana/provisioning/*/*"), **runbooks}
    assert on["ConfigMap", "grafana"]["data"].items() >= files.items()
    for name, text in dashboards.items():
        each = on["ConfigMap", f"dashboard-{name.removesuffix('.json')}"]
        assert each["data"] == {name: text}
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_an_operator_gets_the_rules_as_they_are(on: Objects) -> None:
    for path in (ROOT / "deploy/prometheus/rules").glob("*.yaml"):
        assert on["PrometheusRule", f"quayside-{path.stem}"]["spec"] == yaml.safe_load(path.read_text())


def test_without_its_kinds_there_is_nothing_for_an_operator() -> None:
    unwanted = rendered("shop", ON, "observability.operator.enabled=false", apis=OPERATOR)
    for objects in (rendered("shop", ON), unwanted):
        assert not {kind for kind, _ in objects} & {"PodMonitor", "PrometheusRule"}


def test_everything_is_scraped_as_often_as_the_rules_need() -> None:
    objects = rendered("observability", "prometheus.interval=15", "grafana.enabled=true", apis=OPERATOR)
    assert configuration(objects)["global"]["scrape_interval"] == "15s"
    monitors = [each["spec"]["podMetricsEndpoints"] for (kind, _), each in objects.items() if kind == "PodMonitor"]
    assert {(each["interval"], each["scrapeTimeout"]) for (each,) in monitors} == {("15s", "15s")}
    sources = yaml.safe_load(objects["ConfigMap", "grafana"]["data"]["datasources.yaml"])["datasources"]
    assert [each["jsonData"].get("timeInterval") for each in sources] == ["15s", None]
    refused = template("observability", "prometheus.interval=16")
    assert refused.returncode != 0
    assert "interval" in refused.stderr


def test_an_external_label_makes_the_links_of_alerts_complete(on: Objects) -> None:
    assert "external_labels" not in configuration(on)["global"]
    source = "https://git.example/quayside/blob/main/"
    objects = rendered("observability", f"prometheus.externalLabels.source={source}")
    assert configuration(objects)["global"]["external_labels"] == {"source": source}


def test_an_operator_finds_its_objects_by_labels() -> None:
    objects = rendered("observability", "operator.labels.release=monitoring", apis=OPERATOR)
    found = [each for (kind, _), each in objects.items() if kind in ("PodMonitor", "PrometheusRule")]
    assert found
    assert all(each["metadata"]["labels"]["release"] == "monitoring" for each in found)


@pytest.mark.parametrize("chart", SERVICES)
def test_a_service_that_is_installed_alone_finds_the_tools_by_the_same_value(chart: str) -> None:
    objects = rendered(chart, ON)
    assert env(objects, chart)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"
    assert ("jaeger", 4318) in peers(objects, chart, "egress")
    assert ("prometheus", 8000) in peers(objects, chart, "ingress")
    if chart == "storefront":
        assert env(objects, chart)["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_a_collector_and_a_prometheus_of_ones_own_replace_ours() -> None:
    endpoint, address = "http://collector.tracing:4318", "http://prometheus.monitoring:9090"
    objects = rendered(
        "shop",
        ON,
        "global.observability.jaeger=false",
        "global.observability.prometheus=false",
        f"global.config.OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}",
        f"global.config.PROMETHEUS_URL={address}",
    )
    assert {name for kind, name in objects if kind == "Deployment"} & {*TOOLS} == {
        "postgres-exporter",
        "valkey-exporter",
    }
    for service in SERVICES:
        assert env(objects, service)["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
        named = {app for app, _ in peers(objects, service, "ingress") | peers(objects, service, "egress")}
        assert not named & {"jaeger", "prometheus"}
    assert env(objects, "storefront")["PROMETHEUS_URL"] == address


@pytest.mark.parametrize("share", ["0", "0.01", "1"])
def test_the_share_of_traces_is_one_value_for_all(share: str) -> None:
    objects = rendered("shop", f"global.config.TRACE_SAMPLE_RATIO={share}")
    assert {env(objects, service)["TRACE_SAMPLE_RATIO"] for service in SERVICES} == {share}


def test_scrapers_are_admitted_and_find_annotations() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    label = r"kubernetes\.io/metadata\.name"
    objects = rendered("shop", f"global.scrapers[0].namespaceSelector.matchLabels.{label}=monitoring")
    for service in SERVICES:
        annotations = pod(objects, service)["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true"
        assert annotations["prometheus.io/port"] == "8000"
        assert annotations["prometheus.io/path"] == "/metrics"
        assert {"ports": [{"port": 8000}], "from": [peer]} in objects["NetworkPolicy", service]["spec"]["ingress"]
    rabbitmq = pod(objects, "rabbitmq", "StatefulSet")["metadata"]["annotations"]
    assert rabbitmq["prometheus.io/port"] == "15692"
    assert "prometheus.io/scrape" not in pod(objects, "psp", "StatefulSet")["metadata"]["annotations"]


def test_scrapers_do_not_reach_an_api_without_login() -> None:
    objects = rendered("shop", ON, "global.scrapers[0].namespaceSelector.matchLabels.team=theirs")
    for name in ("prometheus", "alertmanager"):
        assert "theirs" not in json.dumps(objects["NetworkPolicy", name])
        assert "prometheus.io/scrape" not in pod(objects, name)["metadata"]["annotations"]
    assert ("prometheus", 9093) in peers(objects, "alertmanager", "ingress")
    assert ("prometheus", 9090) in peers(objects, "prometheus", "ingress")
    assert "theirs" in json.dumps(objects["NetworkPolicy", "jaeger"])


def test_grafana_permits_what_it_permits_in_compose(on: Objects) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]["environment"]
    settings = {name: value for name, value in env(on, "grafana").items() if name.startswith("GF_")}
    assert settings == {name: value for name, value in compose.items() if name.startswith("GF_")}
    assert "GF_AUTH_ANONYMOUS_ORG_ROLE" not in settings  # a viewer


def test_prometheus_shows_its_token_only_to_a_kubelet_that_it_knows() -> None:
    def tls(*values: str) -> dict[str, Any]:
        jobs = configuration(rendered("observability", "prometheus.cadvisor.enabled=true", *values))["scrape_configs"]
        (kubelets,) = [each for each in jobs if each["job_name"] == "cadvisor"]
        return dict(kubelets["tls_config"])

    assert tls() == {"ca_file": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"}
    assert tls("prometheus.cadvisor.insecureSkipVerify=true") == {"insecure_skip_verify": True}


def test_with_a_volume_prometheus_keeps_its_samples() -> None:
    objects = rendered("observability", "prometheus.storage.size=2Gi", "prometheus.retention.time=15d")
    (claim,) = objects["StatefulSet", "prometheus"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    arguments = pod(objects, "prometheus", "StatefulSet")["spec"]["containers"][0]["args"]
    assert {"--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=512MB"} <= {*arguments}
    assert ("Deployment", "prometheus") not in objects


def test_alerts_go_where_a_secret_says() -> None:
    spec = pod(rendered("observability", "alertmanager.existingSecret=pager"), "alertmanager")["spec"]
    assert "--config.file=/run/secrets/alertmanager-config" in spec["containers"][0]["args"]
    assert "pager" in json.dumps(spec["volumes"])


def test_kubelets_and_kube_state_metrics_are_scraped_only_if_wanted() -> None:
    names = {each["job_name"] for each in configuration(rendered("observability"))["scrape_configs"]}
    assert not names & {"cadvisor", "kube-state-metrics"}
    objects = rendered("observability", "prometheus.kubeStateMetrics=kube-state-metrics.kube-system.svc:8080")
    names = {each["job_name"] for each in configuration(objects)["scrape_configs"]}
    assert "kube-state-metrics" in names
    assert {"port": 8080} in objects["NetworkPolicy", "prometheus"]["spec"]["egress"][-1]["ports"]


def test_prometheus_accepts_its_configuration(on: Objects) -> None:
    """Debian's promtool does not know Kubernetes, so that of the image checks it."""
    image = pod(on, "prometheus")["spec"]["containers"][0]["image"]
    command = ["docker", "run", "--rm", "--interactive", "--entrypoint=promtool", image]
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        pytest.skip(f"Docker does not have {image}")
    text = on["ConfigMap", "prometheus"]["data"]["prometheus.yml"]
    check = [*command, "check", "config", "--syntax-only", "/dev/stdin"]
    done = subprocess.run(check, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
