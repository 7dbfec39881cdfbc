"""Prometheus' configuration: deploy/prometheus/prometheus.yml for containers, and the same for a native shop."""

from collections.abc import Mapping
from dataclasses import dataclass

from shopctl.place import Place
from shopctl.services import Services

__all__ = ["in_containers", "native"]

HEAD = """\
# What Prometheus scrapes in containers. `make format` writes this file from the services' declarations; a native shop
# gets the same with its own addresses. Names of jobs and metrics are listed in docs/reference/telemetry.md.
global:
  scrape_interval: 5s
  scrape_timeout: 4s
  evaluation_interval: 5s

storage:
  exemplars: {max_exemplars: 20000}

rule_files: [rules/*.yaml]
"""


@dataclass(frozen=True)
class Job:
    """A job of Prometheus besides the services: the container that it asks, and what differs from plain `/metrics`."""

    host: str
    port: int
    more: tuple[str, ...] = ()


JOBS = {
    "edge": Job("edge-exporter", 9114),
    "nginx": Job("nginx-exporter", 9113),
    "postgres": Job("postgres-exporter", 9187),
    "valkey": Job("valkey-exporter", 9121),
    "rabbitmq": Job("rabbitmq", 15692),
    "rabbitmq-queues": Job(
        "rabbitmq",
        15692,
        ("metrics_path: /metrics/detailed", "params: {family: [queue_coarse_metrics, queue_consumer_count]}"),
    ),
    "jaeger": Job("jaeger", 8888),
    "alertmanager": Job("alertmanager", 9093),
    "prometheus": Job("localhost", 9090),
}

PORTS = {
    **{name: f"{name}-exporter" for name in ("edge", "nginx", "postgres", "valkey")},
    **dict.fromkeys(("rabbitmq", "rabbitmq-queues"), "rabbitmq-metrics"),
}
"""The port of a native job, as `Place` names it, if it has another name."""


def in_containers(services: Services) -> str:
    """The configuration for Compose, in which the name of a service stands for the addresses of all its replicas."""
    found = {
        name: f"dns_sd_configs: [{{names: [{name}], type: A, port: 8000, refresh_interval: 5s}}]"
        for name in services.upstreams
    }
    return _text(found | {name: _static(f"{job.host}:{job.port}") for name, job in JOBS.items()})


def native(place: Place) -> str:
    """The configuration for a native shop, which has no Jaeger."""
    names = [*place.services.upstreams, *(name for name in JOBS if name != "jaeger")]
    return _text({name: _static(f"127.0.0.1:{place.port(PORTS.get(name, name))}") for name in names})


def _static(address: str) -> str:
    return f'static_configs: [{{targets: ["{address}"]}}]'


def _text(targets: Mapping[str, str]) -> str:
    """The whole file. `targets` says for each job where Prometheus finds it."""
    lines = [HEAD, "alerting:", "  alertmanagers:", f"    - {targets['alertmanager']}", "", "scrape_configs:"]
    for name, where in targets.items():
        lines += [f"  - job_name: {name}", *(f"    {line}" for line in (where, *_more(name)))]
    return "\n".join(lines) + "\n"


def _more(name: str) -> tuple[str, ...]:
    return JOBS[name].more if name in JOBS else ()
