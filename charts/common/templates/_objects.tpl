{{- define "common.serviceaccount" }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "common.metadata" (pick . "chart" "name") | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{- define "common.configmap" }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{- include "common.metadata" (pick . "chart" "name") | nindent 2 }}
data: {{- include "common.data" . | nindent 2 }}
{{- end }}

{{- /* An app's files and texts, as the data of a ConfigMap. */ -}}
{{- define "common.data" -}}
{{- range $glob := values .files | sortAlpha }}
{{- range $path, $_ := $.chart.Files.Glob $glob }}
{{ base $path }}: {{ $.chart.Files.Get $path | toJson }}
{{- end }}
{{- end }}
{{- range $directory, $files := .texts }}
{{- range $file, $text := $files }}
{{ $file }}: {{ toJson $text }}
{{- end }}
{{- end }}
{{- end }}

{{- define "common.hpa" }}
{{- with .scale.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- printf "%s: autoscaling.minReplicas is %v, more than maxReplicas, %v" $.name .minReplicas .maxReplicas | fail }}
{{- end }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{- include "common.metadata" (dict "chart" $.app.chart "name" $.app.name "object" $.name) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $.name }}}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .cpu }}}}
  behavior:
    scaleDown: {stabilizationWindowSeconds: {{ .scaleDownAfter }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* Only with several pods: with a single one, a budget would block a drain forever. */ -}}
{{- define "common.pdb" }}
{{- if gt (.scale.autoscaling.enabled | ternary .scale.autoscaling.minReplicas .scale.replicas | int) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "common.metadata" (dict "chart" .app.chart "name" .app.name "object" .name) | nindent 2 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready serves no requests, and must not block a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "common.selector" (dict "name" .app.name "component" .component) | nindent 6 }}
{{- end }}
{{- end }}
