{{- /* A Deployment, or a StatefulSet of one pod. Takes a part of an app: app, name, component, role, scale. */ -}}
{{- define "common.workload" }}
{{- $app := .app }}
{{- if .role }}{{ $app = merge (dict "env" (merge (dict "ROLE" .role) ($app.env | default dict))) $app }}{{ end }}
{{- $values := $app.values }}
{{- $reloading := list }}
{{- if and $app.given ($app.chart.Values.global | default dict).reload }}
{{- $reloading = list "sh" "-c" (printf "cp -r /app /tmp/app && export PYTHONPATH=/tmp/app && exec uvicorn --factory %s.main:create --reload --reload-dir /tmp/app" $app.name) }}
{{- end }}
{{- $pod := dict "chart" $app.chart "name" $app.name "component" .component }}
{{- if $app.storage }}{{ include "common.claimed" $app }}{{ end }}
---
apiVersion: apps/v1
kind: {{ if $app.storage }}StatefulSet{{ else }}Deployment{{ end }}
metadata: {{- include "common.metadata" (dict "chart" $app.chart "name" $app.name "object" .name) | nindent 2 }}
spec:
  {{- if $app.storage }}
  replicas: 1
  serviceName: {{ $app.name }}
  # Otherwise a pod that cannot start, such as one without its image, would never be replaced.
  podManagementPolicy: Parallel
  {{- else }}
  {{- if not .scale.autoscaling.enabled }}
  replicas: {{ .scale.replicas }}
  {{- else }}
  {{- with (lookup "apps/v1" "Deployment" $app.chart.Release.Namespace .name).spec }}
  # The current number: without it, there would be one until the autoscaler has run.
  replicas: {{ .replicas }}
  {{- end }}
  {{- end }}
  revisionHistoryLimit: 3
  # The edge resolves names every 3 s, so it knows a new pod before an old one stops.
  minReadySeconds: 3
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  {{- end }}
  selector:
    matchLabels: {{- include "common.selector" $pod | nindent 6 }}
  template:
    metadata:
      {{- $own := dict "kubectl.kubernetes.io/default-container" $app.name }}
      {{- if and $app.metrics ($app.chart.Values.global | default dict).scrapers }}
      {{- $port := keys $app.metrics | sortAlpha | first | get $app.metrics | toString }}
      {{- $own = merge $own (dict "prometheus.io/scrape" "true" "prometheus.io/port" $port "prometheus.io/path" "/metrics") }}
      {{- end }}
      {{- include "common.pod.metadata" (merge (dict "component" .component "annotations" $own) $app) | nindent 6 }}
    spec:
      {{- include "common.pod" $app | nindent 6 }}
      terminationGracePeriodSeconds: {{ $app.seconds }}
      {{- if not $app.storage }}
      {{- include "common.spread" (dict "pod" $pod "hosts" .scale.spread) | nindent 6 }}
      {{- end }}
      {{- if hasKey $app "migration" }}
      initContainers:
        {{- include "common.schema" $app | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ $app.name }}
          {{- include "common.container" $app | nindent 10 }}
          {{- with $values.command | default $reloading }}
          command: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $app.args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- include "common.env" $app | nindent 10 }}
          ports:
            - {name: {{ $app.portName }}, containerPort: {{ $app.port }}}
            {{- range $name, $port := merge (dict) ($app.ports | default dict) (empty $app.sidecars | not | ternary dict ($app.metrics | default dict)) }}
            {{- if ne $name $app.portName }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
            {{- end }}
          startupProbe: {{- toYaml $app.probes.startup | nindent 12 }}
          readinessProbe: {{- toYaml $app.probes.readiness | nindent 12 }}
          livenessProbe: {{- toYaml $app.probes.liveness | nindent 12 }}
          {{- if not $app.storage }}
          lifecycle:
            # The address of a stopping pod is used for a moment longer, so it serves until all peers know.
            preStop: {sleep: {seconds: 8}}
          {{- end }}
          {{- include "common.resources" (dict "name" .name "resources" .scale.resources) | nindent 10 }}
          {{- include "common.mounts" $app | nindent 10 }}
        {{- with $app.sidecars }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- include "common.volumes" $app | nindent 6 }}
  {{- if $app.storage }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
        labels: {app.kubernetes.io/name: {{ $app.name }}, app.kubernetes.io/part-of: quayside}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $values.storage.className }}
        storageClassName: {{ quote . }}
        {{- end }}
        resources:
          requests: {storage: {{ $values.storage.size }}}
  {{- end }}
{{- end }}

{{- /*
A volume claim cannot be changed through its StatefulSet. This reports it before the upgrade starts, instead of the API in
the middle of it.
*/ -}}
{{- define "common.claimed" -}}
{{- $storage := .values.storage -}}
{{- range dig "spec" "volumeClaimTemplates" list (lookup "apps/v1" "StatefulSet" .chart.Release.Namespace .name) -}}
{{- $size := .spec.resources.requests.storage -}}
{{- $class := .spec.storageClassName | default "" -}}
{{- if or (ne (include "common.amount" $size) (include "common.amount" $storage.size)) (ne $class $storage.className) -}}
{{- printf "%s: its volume has storage.size=%s and storage.className=%q, which no upgrade changes; docs/kubernetes.md, Volumes, says how" $.name $size $class | fail -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /*
Spreads pods of one kind and revision: never two on a host while another host has none, and over zones if possible. A
node that is lost or drained does not count, so its pods may join others.
*/ -}}
{{- define "common.spread" -}}
{{- $common := dict "maxSkew" 1 "labelSelector" (dict "matchLabels" (include "common.selector" .pod | fromYaml))
  "matchLabelKeys" (list "pod-template-hash") "nodeTaintsPolicy" "Honor" -}}
topologySpreadConstraints:
  {{- list (merge (dict "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" .hosts) $common)
      (merge (dict "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway") $common)
      | toYaml | nindent 2 }}
{{- end }}
