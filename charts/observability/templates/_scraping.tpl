{{- /*
What is scraped, for our Prometheus and for an operator's: a list of dicts with name, pods (the apps' names), port (a name),
path and params. The job is the app's name without `-exporter`, unless `job` names it: docs/reference/telemetry.md. What is
`ours` is not scraped by an operator's Prometheus, which has tools of its own.
*/ -}}
{{- define "observability.targets" -}}
{{- $services := list -}}
{{- range $name, $each := include "common.declared" . | fromYaml }}{{ if $each.edge }}{{ $services = append $services $name }}{{ end }}{{ end -}}
- {name: services, pods: {{ toJson $services }}, port: http}
- {name: edge, pods: [edge], port: metrics}
- {name: nginx, pods: [edge], port: nginx-metrics, job: nginx}
- {name: exporters, pods: [postgres-exporter, valkey-exporter], port: http}
- {name: rabbitmq, pods: [rabbitmq], port: metrics}
- name: rabbitmq-queues
  pods: [rabbitmq]
  port: metrics
  job: rabbitmq-queues
  path: /metrics/detailed
  params: {family: [queue_coarse_metrics, queue_consumer_count]}
- {name: tools, pods: [prometheus, alertmanager], port: http, ours: true}
- {name: jaeger, pods: [jaeger], port: metrics}
{{- end }}

{{- /* The configuration of our Prometheus. */ -}}
{{- define "observability.prometheus" -}}
{{- $own := .Values.prometheus -}}
{{- $name := "__meta_kubernetes_pod_label_app_kubernetes_io_name" -}}
global:
  scrape_interval: {{ $own.interval }}s
  scrape_timeout: {{ $own.interval }}s
  evaluation_interval: {{ $own.interval }}s
  {{- with $own.externalLabels }}
  external_labels: {{ toJson . }}
  {{- end }}
storage:
  exemplars: {max_exemplars: 20000}
rule_files: [/etc/rules/*.yaml]
alerting:
  alertmanagers:
    - static_configs: [{targets: ["alertmanager:9093"]}]
scrape_configs:
{{- range include "observability.targets" . | fromYamlArray }}
  - job_name: {{ .name }}
    {{- with .path }}
    metrics_path: {{ . }}
    {{- end }}
    {{- with .params }}
    params: {{ toJson . }}
    {{- end }}
    kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_part_of, {{ $name }}, __meta_kubernetes_pod_container_port_name]
        regex: quayside;({{ join "|" .pods }});{{ .port }}
        action: keep
      - {source_labels: [__meta_kubernetes_pod_phase], regex: Succeeded|Failed, action: drop}
      {{- if .job }}
      - {target_label: job, replacement: {{ .job }}}
      {{- else }}
      - {source_labels: [{{ $name }}], regex: '(.+?)(-exporter)?', target_label: job}
      {{- end }}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: instance}
{{- end }}
{{- if $own.cadvisor.enabled }}
  - job_name: cadvisor
    scrape_interval: 15s  # kubelets measure no more often
    scrape_timeout: 10s
    scheme: https
    metrics_path: /metrics/cadvisor
    authorization: {credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token}
    tls_config:
      {{- if $own.cadvisor.insecureSkipVerify }}
      insecure_skip_verify: true
      {{- else }}
      ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
      {{- end }}
    kubernetes_sd_configs: [{role: node}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_node_name], target_label: instance}
    metric_relabel_configs:
      # The containers and pods of this namespace, and each node as a whole.
      - {source_labels: [__name__, namespace, id], regex: 'machine_.*;;|container_.*;({{ .Release.Namespace }};.*|;/)', action: keep}
      - source_labels: [__name__]
        regex: 'machine_(cpu_cores|memory_bytes)|container_(cpu_usage_seconds_total|cpu_cfs_(throttled_)?periods_total|memory_working_set_bytes|oom_events_total|start_time_seconds|spec_(memory_limit_bytes|cpu_shares)|network_(receive|transmit)_bytes_total)'
        action: keep
      # The sum of a pod, and the container that only holds its network, count twice.
      - source_labels: [__name__, pod, container]
        regex: container_(cpu|memory|oom|start|spec)[^;]*;.+;
        action: drop
      - {regex: name|image, action: labeldrop}
{{- end }}
{{- with $own.kubeStateMetrics }}
  - job_name: kube-state-metrics
    scrape_interval: 15s
    honor_labels: true
    static_configs: [{targets: [{{ quote . }}]}]
    metric_relabel_configs:
      - {source_labels: [namespace], regex: '{{ $.Release.Namespace }}|', action: keep}
{{- end }}
{{- end }}

{{- /* GOMEMLIMIT, in bytes: four fifths of the container's limit. Takes the values of a tool. */ -}}
{{- define "observability.memory" -}}
{{- with dig "limits" "memory" "" (.resources | default dict) }}{{ include "common.amount" . | float64 | mulf 0.8 | int64 }}{{ end -}}
{{- end }}
