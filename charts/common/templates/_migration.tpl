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
  {{- include "common.resources" (dict "name" .name "resources" .values.resources) | nindent 2 }}
  {{- include "common.mounts" (pick . "secrets") | nindent 2 }}
{{- end }}

{{- /*
The migration as a plain Job. Not a hook: Helm waits for its hooks before it goes on, and a hook that needs a database of
the same release would wait for ever. Its name tells of the image, for people.
*/ -}}
{{- define "common.migration" }}
{{- $tag := (include "common.container" . | fromYaml).image | splitList "/" | last | splitList ":" | last | trunc 20 }}
{{- include "common.job" (dict
  "chart" .chart
  "name" .name
  "job" ($tag | lower | replace "." "-" | replace "_" "-" | trimSuffix "-" | printf "%s-migrate-%s" .name)
  "component" "migrate"
  "seconds" .values.migration.deadlineSeconds
  "user" .user
  "given" .given
  "task" "migrate"
  "priority" .priority
  "values" (include "common.migration.values" . | fromYaml)
  "command" (list "python" "-m" "chassis.db.migrations" .name "--wait" "120")
  "env" .migration.env
  "secrets" (concat (list "database-url") (.migration.secrets | default list))) }}
{{- end }}
