{{- define "common.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Labels of a pod. Takes a dict of chart, name (the app's) and component. */ -}}
{{- define "common.pod.labels" -}}
{{ include "common.selector" . }}
app.kubernetes.io/instance: {{ .chart.Release.Name | quote }}
app.kubernetes.io/part-of: quayside
{{- end }}

{{- /* Metadata of a pod. Takes an app and component; a hash of its files is included, so that pods restart if they change. */ -}}
{{- define "common.pod.metadata" -}}
{{- $own := .annotations | default dict -}}
{{- if or .files .texts }}{{ $_ := include "common.data" . | sha256sum | set $own "quayside.example/files" }}{{ end -}}
labels: {{- include "common.pod.labels" . | nindent 2 }}
{{- with merge (dict) (.values.podAnnotations | default dict) $own }}
annotations: {{- include "common.texts" . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Metadata of an object. Takes a dict of chart, name (the app's) and, if it differs, object. */ -}}
{{- define "common.metadata" -}}
name: {{ .object | default .name }}
namespace: {{ .chart.Release.Namespace | quote }}
labels:
  app.kubernetes.io/name: {{ .name }}
  app.kubernetes.io/instance: {{ .chart.Release.Name | quote }}
  app.kubernetes.io/part-of: quayside
  app.kubernetes.io/managed-by: {{ .chart.Release.Service }}
  helm.sh/chart: {{ .chart.Chart.Name }}-{{ .chart.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Text unchanged, and numbers without an exponent. */ -}}
{{- define "common.text" -}}
{{ kindIs "string" . | ternary . (toJson .) }}
{{- end }}

{{- /* A mapping whose values are strings for Kubernetes, even if they look like numbers. */ -}}
{{- define "common.texts" -}}
{{- range $key, $value := . }}
{{ quote $key }}: {{ include "common.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "common.volume" -}}
{{ . | trimPrefix "/" | replace "/" "-" | replace "." "-" }}
{{- end }}
