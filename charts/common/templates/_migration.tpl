{{- /* The values with only the configuration that a migration reads, so that other changes do not run it again. */ -}}
{{- define "common.migration.values" -}}
{{ set (deepCopy .values) "config" (pick .values.config "ENVIRONMENT") | toYaml }}
{{- end }}

{{- /* Waits until the schema is at this code's revision or a newer one. Otherwise it reports the reason in one line. */ -}}
{{- define "common.schema" -}}
- name: schema
  {{- include "common.container" . | nindent 2 }}
  command: [python, -m, chassis.db.migrations, --check, {{ .name }}, --wait, {{ .values.migration.waitSeconds | quote }}]
  {{- include "common.env" (dict "chart" .chart "values" (include "common.migration.values" . | fromYaml) "secrets" (list "database-url")) | nindent 2 }}
  {{- include "common.resources" (dict "name" .name "resources" .values.resources) | nindent 2 }}
  {{- include "common.mounts" (pick . "secrets") | nindent 2 }}
{{- end }}

{{- /*
The migration as a plain Job. It is not a hook: Helm waits for hooks before it continues, and a hook that needs a
database of the same release would wait forever. Its name contains the image's tag, for readers.
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
