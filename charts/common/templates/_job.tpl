{{- /*
A Job that runs at once. Nothing in its template can be changed, so it is named after all of that: another template is
another Job, the same one is left alone. One that has failed is followed by another. Takes what a task takes, and `job`,
which its name begins with, `component`, and `seconds` until it has failed.

An upgrade that fails may leave a Job that no later revision knows: then it goes with the account that it belongs to.
There is none yet, and nothing to leave behind, when a release is installed.
*/ -}}
{{- define "common.job" }}
{{- $namespace := .chart.Release.Namespace }}
{{- $template := printf "metadata:%s\nspec:%s" (include "common.pod.metadata" . | nindent 2) (include "common.task" . | nindent 2) }}
{{- $name := sha256sum $template | trunc 10 | printf "%s-%s" .job }}
{{- $known := lookup "batch/v1" "Job" $namespace $name }}
{{- range dig "status" "conditions" list $known }}
{{- if and (eq .type "Failed") (eq .status "True") }}
{{- $name = printf "%s%s" $template $known.metadata.uid | sha256sum | trunc 10 | printf "%s-%s" $.job }}
{{- end }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "common.metadata" (dict "chart" .chart "name" .name "object" $name) | nindent 2 }}
  {{- with lookup "v1" "ServiceAccount" $namespace (.account | default .name) }}
  ownerReferences:
    - {apiVersion: v1, kind: ServiceAccount, name: {{ .metadata.name }}, uid: {{ .metadata.uid }}}
  {{- end }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: {{ .seconds }}
  ttlSecondsAfterFinished: 3600
  template: {{- $template | nindent 4 }}
{{- end }}

{{- /*
The spec of a pod that runs to its end. Takes an app, whose `command` and `task` (the container's name) count, and whose
`account` is the app that it belongs to.
*/ -}}
{{- define "common.task" -}}
{{ include "common.pod" . }}
restartPolicy: Never
containers:
  - name: {{ .task }}
    {{- include "common.container" . | nindent 4 }}
    {{- with .command }}
    command: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .args }}
    args: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- include "common.env" . | nindent 4 }}
    {{- include "common.resources" (pick .values "resources" | merge (dict "name" .name)) | nindent 4 }}
    {{- include "common.mounts" . | nindent 4 }}
{{ include "common.volumes" . }}
{{- end }}
