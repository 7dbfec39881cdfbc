{{- /*
A Job that runs at once. A Job's template cannot be changed, so its name contains a hash of the template: a different
template is a different Job, and the same one is left alone. After a failed Job, the next upgrade creates another. Takes
what a task takes, and `job`, the beginning of its name, `component`, and `seconds`, its deadline.

A failed upgrade may leave a Job that no later revision knows. So its owner is the service account, with which it is
removed. On installation there is no account yet, and no Job to leave behind.
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
The spec of a pod that runs to completion. Takes an app with `command`, `task` (the container's name), `account` (the app
to which it belongs) and, if there are any, `beside`, the text of further containers.
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
  {{- with .beside }}{{ . | nindent 2 }}{{ end }}
{{ include "common.volumes" . }}
{{- end }}
