{{- /* The common part of every pod. Takes an app. */ -}}
{{- define "common.pod" -}}
serviceAccountName: {{ .account | default .name }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
# A lost DNS query is repeated after a second; the default of five is longer than a service waits for another.
dnsConfig:
  options: [{name: timeout, value: "1"}, {name: attempts, value: "3"}]
{{- with .values.imagePullSecrets | default (.chart.Values.global | default dict).imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ quote . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- $global := .chart.Values.global | default dict }}
{{- with .values.priorityClassName | default (and .priority $global.priorityClasses (printf "%s-%s" .chart.Release.Namespace .priority)) }}
priorityClassName: {{ quote . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- include "common.texts" . | nindent 2 }}
{{- end }}
# Pods of a dead node start elsewhere after 20 s; the default is five minutes.
tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 20}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 20}
  {{- with .values.tolerations }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- /* The common part of every container. Takes an app. */ -}}
{{- define "common.container" -}}
{{- $image := .values.image -}}
{{- $global := and (not .foreign) .chart.Values.global | default dict -}}
{{- $tag := $image.tag | default $global.tag | default (empty $image.digest | ternary .chart.Chart.AppVersion "") -}}
image: {{ with $image.registry | default $global.registry }}{{ . }}/{{ end }}{{ $image.repository }}
  {{- with $tag }}:{{ . }}{{ end }}{{ with $image.digest }}@{{ . }}{{ end }}
imagePullPolicy: {{ $image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* A container's environment: the values' `config`, `env`, the secrets' files, the values' `extraEnv`, which overrides them. */ -}}
{{- define "common.env" -}}
{{- $global := (.chart.Values.global | default dict).config | default dict -}}
{{- $all := dict -}}
{{- range $name, $value := .values.config -}}
{{- $text := get $global $name | include "common.text" | default (include "common.text" $value) -}}
{{- if $text }}{{ $_ := set $all $name $text }}{{ end -}}
{{- end -}}
{{- range $name, $value := .env }}{{ $_ := set $all $name (include "common.text" $value) }}{{ end -}}
{{- range .secrets }}{{ $_ := set $all (. | upper | replace "-" "_" | printf "%s_FILE") (printf "/run/secrets/%s" .) }}{{ end -}}
{{- range .values.extraEnv }}{{ $_ := unset $all .name }}{{ end -}}
env:
{{- range $name, $text := $all }}
  - {name: {{ $name }}, value: {{ $text | quote }}}
{{- end }}
{{- range $name, $secret := .secretEnv }}
  - {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $name }}}}}
{{- end }}
{{- range .values.extraEnv }}
  - {{ hasKey . "value" | ternary (merge (dict "value" (include "common.text" .value)) .) . | toJson }}
{{- end }}
{{- end }}

{{- /* Takes a dict of resources and name, which the error names if the API would refuse them. */ -}}
{{- define "common.resources" -}}
{{- $resources := .resources | default dict -}}
{{- $limits := $resources.limits | default dict -}}
{{- range $what, $request := $resources.requests -}}
{{- $limit := hasKey $limits $what | ternary (get $limits $what) $request -}}
{{- if gt (include "common.amount" $request | float64) (include "common.amount" $limit | float64) -}}
{{- printf "%s: resources.requests.%s is %v, more than resources.limits.%s, %v" $.name $what $request $what $limit | fail -}}
{{- end -}}
{{- end -}}
resources: {{- toYaml $resources | nindent 2 }}
{{- end }}

{{- /* A quantity as a number: 1Gi and 1024Mi are the same. */ -}}
{{- define "common.amount" -}}
{{- $text := include "common.text" . -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{ mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[A-Za-z]+$" $text) | default 1) }}
{{- end }}

{{- define "common.mounts" -}}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if .secrets }}
  - {name: secrets, mountPath: /run/secrets, readOnly: true}
  {{- end }}
  {{- range $directory, $_ := merge (dict) (.files | default dict) (.texts | default dict) }}
  - {name: {{ include "common.volume" $directory }}, mountPath: {{ $directory }}, readOnly: true}
  {{- end }}
  {{- range .writable }}
  - {name: {{ include "common.volume" . }}, mountPath: {{ . }}}
  {{- end }}
  {{- with .storage }}
  - {name: data, mountPath: {{ . }}}
  {{- end }}
{{- end }}

{{- define "common.volumes" -}}
volumes:
  - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
  {{- if .secrets }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- range $key := .secrets }}
        {{- $at := include "common.secret" (dict "app" $ "key" $key) | fromJson }}
        - secret: {name: {{ quote $at.name }}, items: [{key: {{ quote $at.key }}, path: {{ $key }}}]}
        {{- end }}
  {{- end }}
  {{- range $directory, $glob := .files }}
  - name: {{ include "common.volume" $directory }}
    configMap:
      name: {{ $.account | default $.name }}
      items:
        {{- range $path, $_ := $.chart.Files.Glob $glob }}
        - {key: {{ base $path }}, path: {{ base $path }}}
        {{- end }}
  {{- end }}
  {{- range $directory, $files := .texts }}
  - name: {{ include "common.volume" $directory }}
    configMap:
      name: {{ $.account | default $.name }}
      items:
        {{- range $file, $_ := $files }}
        - {key: {{ $file }}, path: {{ $file }}}
        {{- end }}
  {{- end }}
  {{- range .writable }}
  - {name: {{ include "common.volume" . }}, emptyDir: {sizeLimit: {{ $.room | default "64Mi" }}}}
  {{- end }}
{{- end }}
