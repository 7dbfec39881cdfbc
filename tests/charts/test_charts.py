"""Tests of the objects that the charts render and of the values that they reject. They need Helm, but no cluster."""

import re
from typing import Any

import pytest
import yaml
from rendering import Objects, rendered, template


def jobs(objects: Objects) -> dict[str, Any]:
    """Returns the pod template of each Job, by name."""
    return {name: each["spec"]["template"] for (kind, name), each in objects.items() if kind == "Job"}


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return jobs(rendered("shop"))


@pytest.mark.parametrize(
    "values",
    [
        "order.podAnnotations.x=y",
        "order.resources.limits.memory=1Gi",
        "order.image.tag=2a",
        "order.image.digest=sha256:" + "0" * 64,
        "order.nodeSelector.disk=fast",
        "order.priorityClassName=high",
        "order.extraEnv[0].name=TZ,order.extraEnv[0].value=UTC",
        "order.tolerations[0].operator=Exists",
        "order.imagePullSecrets={registry}",
        "order.existingSecret=other",
        "order.config.ENVIRONMENT=development",
        "infra.postgres.podAnnotations.x=y",
        "infra.postgres.image.tag=18-trixie",
        "shopctl.podAnnotations.x=y",
    ],
)
def test_a_changed_template_is_a_new_job(plain: dict[str, Any], values: str) -> None:
    now = jobs(rendered("shop", values))
    (gone,), (came,) = plain.keys() - now.keys(), now.keys() - plain.keys()
    assert gone.split("-")[0] == came.split("-")[0]
    assert all(plain[name] == now[name] for name in plain.keys() & now.keys())


def test_the_same_template_is_the_same_job(plain: dict[str, Any]) -> None:
    others = [
        "order.replicas=3",
        "order.config.LOG_LEVEL=debug",
        "order.worker.enabled=true",
        "edge.lbPolicy=source-ip-hash",
    ]
    mutable = ["order.migration.deadlineSeconds=60", "infra.postgres.storage.size=6Gi"]
    assert jobs(rendered("shop", *others, *mutable)) == plain


def test_names_of_jobs_are_short_enough_for_any_tag() -> None:
    names = jobs(rendered("shop", "global.tag=V_1." + "x" * 120))
    assert all(re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) and len(name) <= 57 for name in names), names


def test_a_pod_waits_for_the_schema_and_not_for_a_job() -> None:
    objects = rendered("shop")
    text = yaml.safe_dump([each for (kind, _), each in objects.items() if kind != "Job"])
    assert not any(name in text for name in jobs(objects))


# Each value in a line is refused by name.
REFUSED = {
    "shop": [
        "global.registry=http://localhost:5000, global.tag=a b, global.imagePullSecrets[0]=My Secret",
        "global.registry=localhost:5000/, global.config.CURRENCY=euro, global.config.LOG_LEVEL=INFO",
        "global.registry=Localhost:5000, global.config.OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318",
        "global.registry=local host, audit.schedule=every night, shopctl.secrets.shop-broker-url.name=A_B",
        "shopctl.existingSecret=A_B, identity.admin.email=admin, identity.config.PUBLIC_URL=shop.example",
        "identity.config.PUBLIC_URL=https://, identity.config.ACCESS_MINUTES=61, identity.admin.email=a.@-.x",
        "global.config.TRACE_SAMPLE_RATIO=1.5, global.observability.enabled=maybe, global.config.PROMETHEUS_URL=p:9090",
    ],
    "catalog": ["config.DATABASE_POOL_SIZE=1, config.JWKS_URL=http://identity:8000, replicas=two"],
    "cart": ["config.VALKEY_TIMEOUT=0, config.CART_DAYS=0"],
    "order": [
        "config.CART_URL=cart:8000, config.CATALOG_URL=ftp://catalog, existingSecret=Order, priorityClassName=High",
        "secrets.database-url.key=a/b, image.registry=https://registry.example, image.repository=Quayside/order",
        "image.repository=order:1, image.digest=sha256:1234, worker.resources.requests.memory=lots",
        "autoscaling.scaleDownAfter=4000, tolerations[0].operator=Is, tolerations[0].effect=Never",
        "resources.limits.memory=192MB, resources.requests.cpu=-1, nodeSelector.disk=very fast, extraEnv[0].name=A=B",
    ],
    "payment": ["config.PSP_URL=//psp, config.PROVIDER_TIMEOUT=60"],
    "psp": ["config.WEBHOOK_URL=payment, storage.size=5GB", "storage.size=0Gi"],
    "infra": ["postgres.storage.size=1.2.3Gi, postgres.storage.className=Fast Disk"],
    "observability": [
        "prometheus.retention.time=ever, prometheus.retention.size=1Gi, prometheus.interval=0, jaeger.keepPercent=101",
        "prometheus.kubeStateMetrics=http://metrics:8080, alertmanager.existingSecret=A_B, prometheus.storage.size=2GB",
    ],
    "loadtest": [
        "config.SHAPE=storm, config.USERS=many, config.TIME=90, config.PAGES=yes, config.PERSONAS=browser:",
        "target=edge, config.THRESHOLDS=failed, deadlineSeconds=0, secrets.admin-password.name=A_B, config.SEED=-1",
    ],
    "edge": [
        "clusterDomain=cluster local, trustedProxies[0]=10.0.0.0/33, service.port=70000",
        "trustedProxies[0]=10.0.0, service.loadBalancerClass=a b, lbPolicy=random",
    ],
}


@pytest.mark.parametrize(("chart", "line"), [(chart, line) for chart, lines in REFUSED.items() for line in lines])
def test_an_invalid_value_is_refused_by_name(chart: str, line: str) -> None:
    values = line.split(", ")
    done = template(chart, *values)
    assert done.returncode != 0
    for value in values:
        name, _, _ = value.partition("=")
        inner = name.removeprefix("identity.") if chart == "shop" else name
        assert f"at '/{inner.replace('.', '/').replace('[', '/').replace(']', '')}'" in done.stderr


@pytest.mark.parametrize(
    ("chart", "values", "said"),
    [
        ("shop", "audit.schedule=0 25 * * *", "audit.schedule: 25 is too much in 0 25 * * *"),
        ("order", "resources.limits.memory=64Mi", "order: resources.requests.memory is 80Mi, more than"),
        (
            "order",
            "autoscaling.enabled=true,autoscaling.minReplicas=9",
            "order: autoscaling.minReplicas is 9, more than",
        ),
        ("order", "resources.limits.ram=1Gi", "/resources/limits': additional properties 'ram'"),
        ("order", "worker.resources.limit.cpu=1", "/worker/resources': additional properties 'limit'"),
        ("order", "extraEnv[0].value=1", "/extraEnv/0': missing property 'name'"),
        ("order", "podAnnotations.a b=c", "/podAnnotations': additional properties 'a b'"),
    ],
)
def test_an_error_names_the_problem(chart: str, values: str, said: str) -> None:
    done = template(chart, values)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        ("shop", "global.registry=registry.example:5000/team/shop"),
        ("shop", "global.registry="),
        ("shop", "global.tag=v1.2.3_rc.1"),
        ("shop", "identity.config.PUBLIC_URL=https://shop.example/"),
        ("shop", "identity.config.PUBLIC_URL=http://[::1]:8080"),
        ("shop", "identity.admin.email="),
        ("shop", r"audit.schedule=*/15 0-6\,22 1 JAN MON-FRI"),
        ("shop", "audit.schedule=@daily"),
        ("order", "resources.limits.memory=1.5Gi,resources.requests.cpu=1,resources.limits.cpu=1500m"),
        ("order", "image.repository=ghcr.io/team/order"),
        ("order", "resources=null,podAnnotations=null,nodeSelector.disk=null"),
        ("infra", "postgres.storage.size=1.5Ti"),
        ("edge", "trustedProxies={10.0.0.0/8,fd00::/8,192.0.2.1}"),
        ("edge", "service.type=LoadBalancer,service.loadBalancerClass=cloud.example/internal"),
    ],
)
def test_unusual_but_valid_values_are_accepted(chart: str, values: str) -> None:
    rendered(chart, values)


def test_values_that_kubernetes_requires_as_text_are_text() -> None:
    """`--set` parses true as a boolean and 8000 as a number, which the API refuses in an annotation."""
    values = ["podAnnotations.scrape=true", "podAnnotations.port=8000", "nodeSelector.ssd=true"]
    pod = rendered("order", *values, "extraEnv[0].name=A,extraEnv[0].value=1")["Deployment", "order"]["spec"][
        "template"
    ]
    assert pod["metadata"]["annotations"].items() >= {"scrape": "true", "port": "8000"}.items()
    assert pod["spec"]["nodeSelector"] == {"ssd": "true"}
    assert {"name": "A", "value": "1"} in pod["spec"]["containers"][0]["env"]
    edge = rendered("edge", "service.annotations.internal=true")["Service", "edge"]
    assert edge["metadata"]["annotations"] == {"internal": "true"}


def test_an_annotation_of_the_chart_can_be_overridden() -> None:
    of_ours = r"podAnnotations.kubectl\.kubernetes\.io/default-container=other"
    annotations = rendered("order", of_ours)["Deployment", "order"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"kubectl.kubernetes.io/default-container": "other"}


@pytest.mark.parametrize("enabled", [False, True])
def test_stripes_keys_are_mounted_only_where_stripe_is_enabled(enabled: bool) -> None:
    objects = rendered("payment", f"stripe.enabled={str(enabled).lower()}", "secrets.stripe-api-key.name=keys")
    pod = objects["Deployment", "payment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    files = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("STRIPE_")}
    (secrets,) = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
    mounted = [(each["secret"]["name"], each["secret"]["items"][0]["path"]) for each in secrets["projected"]["sources"]]
    expected = [("keys", "stripe-api-key"), ("payment", "stripe-webhook-secret")]
    assert [each for each in mounted if "stripe" in each[1]] == (expected if enabled else [])
    assert files == {
        name: f"/run/secrets/{key}"
        for name, key in [
            ("STRIPE_API_KEY_FILE", "stripe-api-key"),
            ("STRIPE_WEBHOOK_SECRET_FILE", "stripe-webhook-secret"),
        ]
        if enabled
    }


@pytest.mark.parametrize(
    ("name", "value", "services"),
    [
        ("ARCHIVE_DAYS", "60", {"catalog", "order", "payment"}),
        ("CURRENCY", "NOK", {"catalog", "order", "storefront"}),
        ("PAYMENT_PROVIDER", "stripe", {"payment", "storefront"}),
    ],
)
def test_a_setting_of_the_whole_shop_reaches_each_service_that_has_it(
    name: str, value: str, services: set[str]
) -> None:
    objects = rendered("shop", f"global.config.{name}={value}")
    deployments = {app: each for (kind, app), each in objects.items() if kind == "Deployment"}
    given = {
        (app, env["value"])
        for app, each in deployments.items()
        for env in each["spec"]["template"]["spec"]["containers"][0]["env"]
        if env["name"] == name
    }
    assert given == {(app, value) for app in services}


@pytest.mark.parametrize(
    ("client", "server"),
    [
        *(("storefront", each) for each in ("catalog", "cart", "order", "payment", "identity", "valkey")),
        ("edge", "storefront"),
        ("payment", "identity"),
    ],
)
def test_network_policies_permit_what_a_service_calls(client: str, server: str) -> None:
    objects = rendered("shop")

    def named(of: str, direction: str, peers: str) -> set[str]:
        rules = objects["NetworkPolicy", of]["spec"][direction]
        labels = [peer.get("podSelector", {}).get("matchLabels", {}) for rule in rules for peer in rule.get(peers, [])]
        return {each.get("app.kubernetes.io/name", "") for each in labels}

    assert server in named(client, "egress", "to")
    assert client in named(server, "ingress", "from")


def test_valkey_keeps_its_password_and_gets_a_user_for_each_service() -> None:
    """A pod of an older release logs in with the password alone, while pods of this one have users of their own."""
    objects = rendered("shop")
    (container,) = objects["StatefulSet", "valkey"]["spec"]["template"]["spec"]["containers"]
    arguments = " ".join(container["args"])
    assert "--requirepass $(VALKEY_PASSWORD)" in arguments
    for name in ("cart", "storefront"):
        assert f"--user {name} on >$({name.upper()}_PASSWORD) ~{name}:* resetchannels" in arguments
        url = objects["Secret", f"{name}-stores"]["stringData"]["valkey-url"]
        assert url.startswith(
            f"redis://{name}:{objects['Secret', 'stores']['stringData'][f'{name.upper()}_PASSWORD']}@"
        )


def test_the_edge_trusts_the_same_proxies_for_address_and_scheme() -> None:
    values = ("trustedProxies={10.0.0.0/8,fd00::/8}",)
    (edge,) = rendered("edge", *values)["Deployment", "edge"]["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in edge["env"]}
    assert variables["EDGE_TRUSTED_PROXIES"] == "set_real_ip_from 10.0.0.0/8; set_real_ip_from fd00::/8;"
    assert variables["EDGE_TRUSTED_NETWORKS"] == "10.0.0.0/8 1; fd00::/8 1;"


@pytest.mark.parametrize(("values", "expected"), [((), "off"), (("traceClients=true",), "on")])
def test_the_edge_ignores_the_traces_of_clients_unless_asked(values: tuple[str, ...], expected: str) -> None:
    (edge,) = rendered("edge", *values)["Deployment", "edge"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "EDGE_TRACE_CLIENTS", "value": expected} in edge["env"]


def test_the_edge_has_its_limits_from_values_and_a_cache_that_it_can_write() -> None:
    (edge,) = rendered("edge", "rateLimit.enabled=false", "rateLimit.burst=7")["Deployment", "edge"]["spec"][
        "template"
    ]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in edge["env"]}
    assert (variables["RATE_LIMIT"], variables["RATE_LIMIT_BURST"]) == ("off", "7")
    assert edge["securityContext"]["readOnlyRootFilesystem"] is True
    assert any(variables["EDGE_CACHE"].startswith(f"{each['mountPath']}/") for each in edge["volumeMounts"])
    assert {edge[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "/health/edge"
    }
