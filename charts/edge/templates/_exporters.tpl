{{- /*
The containers beside nginx that make metrics and spans of what it reports: deploy/nginx/README.md, Telemetry. They have
no readiness probe, because the edge also serves without them.
*/ -}}
{{- define "edge.exporters" -}}
{{- /* nginx serves for 8 s after it is told to stop. */ -}}
{{- $last := dict "preStop" (dict "sleep" (dict "seconds" 10)) -}}
{{- $ratio := dict "config" (dict "TRACE_SAMPLE_RATIO" "") -}}
- name: exporter
  {{- include "common.container" (dict "chart" . "values" .Values.exporter) | nindent 2 }}
  command: [python, -m, chassis.edge_exporter, "127.0.0.1:9145", "0.0.0.0:9114"]
  {{- $env := dict }}
  {{- with include "common.otlp" . }}{{ $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" . }}{{ end }}
  {{- include "common.env" (dict "chart" . "values" $ratio "env" $env) | nindent 2 }}
  ports: [{name: metrics, containerPort: 9114}]
  lifecycle: {{- $last | toYaml | nindent 4 }}
  livenessProbe: {tcpSocket: {port: metrics}, timeoutSeconds: 5, failureThreshold: 6}
  {{- include "common.resources" (dict "name" "edge" "resources" .Values.exporter.resources) | nindent 2 }}
- name: nginx-exporter
  {{- include "common.container" (dict "chart" . "values" .Values.nginxExporter "foreign" true) | nindent 2 }}
  args: ["--nginx.scrape-uri=http://127.0.0.1:9145/stub_status"]
  ports: [{name: nginx-metrics, containerPort: 9113}]
  lifecycle: {{- $last | toYaml | nindent 4 }}
  livenessProbe: {tcpSocket: {port: nginx-metrics}, timeoutSeconds: 5, failureThreshold: 6}
  {{- include "common.resources" (dict "name" "edge" "resources" .Values.nginxExporter.resources) | nindent 2 }}
{{- end }}
