{{- /*
An app: one workload and all that belongs to it. A chart's template is one call with a dict of what is true of the
app, whoever installs it:

  chart       the chart's root context
  values      the values that the user may change (default: all of the chart's)
  name        name of every object (default: the chart's)
  foreign     the image is somebody else's: `global.registry` and `global.tag` are not about it
  args        list of arguments to the image's entry point
  env         dict of environment variables, beside the values' `config` and `extraEnv`
  secrets     list of keys; each is a file in /run/secrets, which `<KEY>_FILE` in the environment names
  given       the Secrets are none of the chart's own
  secretEnv   dict of environment variable → Secret that has a key of its name
  files       dict of directory → glob of the chart's own files, which are mounted there
  writable    list of directories that are empty at first and writable, beside /tmp
  storage     directory of a volume that outlives the pod: the app is then a StatefulSet of one pod
  user        numeric user
  port        the one port; `portName` its name
  probes      dict of startup, readiness, liveness
  priority    which of the umbrella's priority classes
  affinity    a client stays with a pod
  headless    a second Service `<name>-headless`, whose name resolves to the addresses of the pods that are ready
  worker      the app has a part that no request needs; it can be split off
  migration   dict of `env` and `secrets` that the migration has beside the schema's URL; present: the app has a schema
  from        list of apps that may call it; `["*"]` is everyone
  to          dict of app → port that it may call
  seconds     grace period
*/ -}}
{{- define "common.app" -}}
{{- $values := .values | default .chart.Values -}}
{{- $app := merge (dict "values" $values) . (dict "name" .chart.Chart.Name "seconds" 45 "foreign" false) -}}
{{- $least := (.chart.Values.global | default dict).replicas | default 0 -}}
{{- $scale := merge (dict "replicas" (max $least $values.replicas)) $values -}}
{{- $main := dict "app" $app "name" $app.name "component" "api" "scale" $scale -}}
{{- $parts := list $main -}}
{{- if $app.worker -}}
{{- $_ := set $main "role" ($values.worker.enabled | ternary "api" "all") -}}
{{- if $values.worker.enabled -}}
{{- $parts = append $parts (dict "app" $app "name" (printf "%s-worker" $app.name) "component" "worker" "role" "worker"
    "scale" (dict "replicas" (max $least $values.worker.replicas) "autoscaling" $values.worker.autoscaling
      "spread" $values.spread "resources" ($values.worker.resources | default $values.resources))) -}}
{{- end -}}
{{- end -}}
{{ include "common.serviceaccount" $app }}
{{- include "common.networkpolicy" $app }}
{{- if $app.files }}{{ include "common.configmap" $app }}{{ end }}
{{- include "common.services" $app }}
{{- range $parts }}
{{- include "common.workload" . }}
{{- if not $app.storage }}
{{- include "common.hpa" . }}
{{- include "common.pdb" . }}
{{- end }}
{{- end }}
{{- if hasKey $app "migration" }}{{ include "common.migration" $app }}{{ end }}
{{- end }}

{{- /*
One of our services; takes the dict of an app. What it connects to, who may call it and which URLs are secret follows
from its declaration; `secrets` and `from` add to that. It believes anybody's X-Forwarded-For: the network policy lets in
nobody but the edge and the services that call it.
*/ -}}
{{- define "common.service" -}}
{{- $name := .chart.Chart.Name -}}
{{- $services := include "common.declared" . | fromYaml -}}
{{- $own := get $services $name | required (printf "%s: charts/common/templates/_services.tpl does not list it; `make format` writes it" $name) -}}
{{- $secrets := list -}}
{{- $to := dict -}}
{{- range $store, $at := include "common.stores" . | fromYaml -}}
{{- if has $store $own.stores -}}
{{- $secrets = append $secrets $at.secret -}}
{{- $_ := set $to $store $at.port -}}
{{- end -}}
{{- end -}}
{{- range $own.calls }}{{ $_ := set $to . 8000 }}{{ end -}}
{{- $from := $own.edge | ternary (list "edge") list -}}
{{- range $other, $each := $services }}{{ if has $name $each.calls }}{{ $from = append $from $other }}{{ end }}{{ end -}}
{{- $probe := dict "timeoutSeconds" 5 -}}
{{- $given := dict
  "secrets" (concat $secrets (.secrets | default list))
  "from" (concat $from (.from | default list))
  "to" $to
  "headless" $own.edge -}}
{{- if has "postgres" $own.stores }}{{ $_ := set $given "migration" (.migration | default dict) }}{{ end -}}
{{- include "common.app" (merge $given . (dict
  "user" 65532
  "port" 8000
  "portName" "http"
  "priority" "services"
  "given" true
  "env" (dict "FORWARDED_ALLOW_IPS" "*")
  "probes" (dict
    "startup" (merge (dict "httpGet" (dict "path" "/health/startup" "port" "http") "periodSeconds" 1 "failureThreshold" 600) $probe)
    "readiness" (merge (dict "httpGet" (dict "path" "/health/ready" "port" "http") "periodSeconds" 5) $probe)
    "liveness" (merge (dict "httpGet" (dict "path" "/health/live" "port" "http") "failureThreshold" 6) $probe)))) }}
{{- end }}

{{- /* The stores: the port of each, and the key of the Secret with the URL by which a service connects to it. */ -}}
{{- define "common.stores" -}}
postgres: {port: 5432, secret: database-url}
rabbitmq: {port: 5672, secret: broker-url}
valkey: {port: 6379, secret: valkey-url}
{{- end }}

{{- /* The names of the services that connect to a store, as a list in JSON under `names`. Takes the store's name. */ -}}
{{- define "common.clients" -}}
{{- $store := . -}}
{{- $names := list -}}
{{- range $name, $each := include "common.declared" . | fromYaml }}{{ if has $store $each.stores }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{ dict "names" $names | toJson }}
{{- end }}
