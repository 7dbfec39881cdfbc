{{- /*
The location of a secret: its key in `existingSecret`, unless the values' `secrets` name another. Takes a dict of app and
key. If a chart is installed alone, its Secrets must already exist (`given`): a missing one is an error at once, instead
of pods that wait for it.
*/ -}}
{{- define "common.secret" -}}
{{- $app := .app -}}
{{- $at := get ($app.values.secrets | default dict) .key | default dict -}}
{{- $name := $at.name | default $app.values.existingSecret -}}
{{- $key := $at.key | default .key -}}
{{- if not $name -}}
{{- printf "%s: set existingSecret, the name of a Secret in the namespace %s with the key %s" $app.name $app.chart.Release.Namespace .key | fail -}}
{{- end -}}
{{- if and $app.given $app.chart.Chart.IsRoot -}}
{{- $known := (lookup "v1" "Secret" $app.chart.Release.Namespace "").items -}}
{{- $data := dict -}}
{{- range $known }}{{ if eq .metadata.name $name }}{{ $data = .data }}{{ end }}{{ end -}}
{{- if and (not (kindIs "invalid" $known)) (not (hasKey $data $key)) -}}
{{- printf "%s: there is no Secret %s with the key %s in the namespace %s" $app.name $name $key $app.chart.Release.Namespace | fail -}}
{{- end -}}
{{- end -}}
{{- dict "name" $name "key" $key | toJson -}}
{{- end }}

{{- /*
A password that is generated once and then read from the cluster. Takes a dict of `known`, the data of the existing
Secret, and key.
*/ -}}
{{- define "common.password" -}}
{{ get (.known | default dict) .key | b64dec | default (randAlphaNum 32) }}
{{- end }}
