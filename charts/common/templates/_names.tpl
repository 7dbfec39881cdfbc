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

{{- /* Metadata of the pods of a Job. Takes the same and values. */ -}}
{{- define "common.pod.metadata" -}}
labels: {{- include "common.pod.labels" . | nindent 2 }}
{{- with .values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Metadata of an object. Takes a dict of chart, name (the app's) and, if it is not the same, object. */ -}}
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

{{- /* Text as it is, numbers without an exponent. */ -}}
{{- define "common.text" -}}
{{ kindIs "string" . | ternary . (toJson .) }}
{{- end }}

{{- define "common.volume" -}}
{{ . | trimPrefix "/" | replace "/" "-" | replace "." "-" }}
{{- end }}
