{{- /* Of the configuration only what a migration reads: a change of the rest is no reason to run it again. */ -}}
{{- define "common.migration.values" -}}
{{ set (deepCopy .values) "config" (pick .values.config "ENVIRONMENT") | toYaml }}
{{- end }}

{{- /* Waits until the schema is at this code's revision or at a newer one, and otherwise says why in one line. */ -}}
{{- define "common.schema" -}}
- name: schema
  {{- include "common.container" . | nindent 2 }}
  command: [python, -m, chassis.db.migrations, --check, {{ .name }}, --wait, {{ .values.migration.waitSeconds | quote }}]
  {{- include "common.env" (dict "chart" .chart "values" (include "common.migration.values" . | fromYaml) "secrets" (list "database-url")) | nindent 2 }}
  resources: {{- toYaml .values.resources | nindent 4 }}
  {{- include "common.mounts" (pick . "secrets") | nindent 2 }}
{{- end }}

{{- /*
The migration as a plain Job. Not a hook: Helm waits for its hooks before it goes on, and a hook that needs a database of
the same release would wait for ever. Named after the image and all else that is in it, since a Job cannot be changed:
another image is another Job, and the same one is left alone.
*/ -}}
{{- define "common.migration" }}
{{- $spec := include "common.task" (dict
  "chart" .chart
  "name" .name
  "user" .user
  "given" .given
  "task" "migrate"
  "priority" .priority
  "values" (include "common.migration.values" . | fromYaml)
  "command" (list "python" "-m" "chassis.db.migrations" .name "--wait" "120")
  "env" .migration.env
  "secrets" (concat (list "database-url") (.migration.secrets | default list))) }}
{{- $image := (include "common.container" . | fromYaml).image | splitList "/" | last | splitList ":" | last | trunc 20 }}
{{- $suffix := printf "%s-%s" ($image | lower | replace "." "-" | replace "_" "-" | trimSuffix "-") ($spec | sha256sum | trunc 6) }}
---
apiVersion: batch/v1
kind: Job
metadata: {{- include "common.metadata" (dict "chart" .chart "name" .name "object" (printf "%s-migrate-%s" .name $suffix)) | nindent 2 }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: {{ .values.migration.deadlineSeconds }}
  ttlSecondsAfterFinished: 3600
  template:
    metadata: {{- include "common.pod.metadata" (dict "chart" .chart "name" .name "component" "migrate" "values" .values) | nindent 6 }}
    spec: {{- $spec | nindent 6 }}
{{- end }}
