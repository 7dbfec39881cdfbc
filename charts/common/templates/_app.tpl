{{- /*
An app: one workload and everything that belongs to it. A chart's template is one call with a dict of what holds for
every installation:

  chart       the chart's root context
  values      the values that the user can set (default: all values of the chart)
  name        name of every object (default: the chart's)
  foreign     the image is not ours: `global.registry` and `global.tag` do not apply to it
  args        list of arguments for the image's entry point
  env         dict of environment variables, in addition to the values' `config` and `extraEnv`
  secrets     list of keys; each is a file in /run/secrets, which `<KEY>_FILE` in the environment names
  given       the Secrets are not the chart's own; the app is one of our services
  secretEnv   dict of environment variable → Secret that has a key of its name
  files       dict of directory → glob of the chart's files that are mounted there
  texts       dict of directory → dict of file → text, which are mounted there
  writable    list of writable directories, empty at the start, in addition to /tmp
  room        size limit of each of them (default: 64Mi)
  storage     directory of a persistent volume: the app is then a StatefulSet with one pod
  user        numeric user
  port        the one port; `portName` its name
  ports       dict of name → further port of the container and the Service
  metrics     dict of name → port of the pod with /metrics, which Prometheus and `global.scrapers` may read
  sidecars    list of further containers, which then have the ports of `metrics`
  probes      dict of startup, readiness, liveness
  priority    one of the umbrella's priority classes
  affinity    requests of a client go to the same pod
  headless    a second Service `<name>-headless`, whose name resolves to the addresses of the ready pods
  worker      the app has background work that can run in a Deployment of its own
  migration   the app has a schema; a dict of `env` and `secrets` for the migration, in addition to the schema's URL
  from        list of apps that may call it; `["*"]` means all
  to          dict of app → port that it may call
  token       the pod gets the token of its service account
  single      it has one pod, whatever `global.replicas` is
  seconds     termination grace period
*/ -}}
{{- define "common.app" -}}
{{- $values := .values | default .chart.Values -}}
{{- $app := merge (dict "values" $values) . (dict "name" .chart.Chart.Name "seconds" 45 "foreign" false) -}}
{{- $least := (.chart.Values.global | default dict).replicas | default 0 -}}
{{- $scale := merge (dict "replicas" (max $least $values.replicas)) $values -}}
{{- if $app.single -}}
{{- $scale = merge (dict "replicas" 1 "spread" "ScheduleAnyway" "autoscaling" (dict "enabled" false)) $values -}}
{{- end -}}
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
{{- if or $app.files $app.texts }}{{ include "common.configmap" $app }}{{ end }}
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
One of our services; takes the dict of an app. Its stores, its callers and the keys of its Secret follow from its
declaration; `secrets` and `from` add to them. It trusts X-Forwarded-For from all peers, because the network policy
admits only the edge and the services that call it.
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
{{- $env := dict "FORWARDED_ALLOW_IPS" "*" -}}
{{- /* The sandbox provider is an outside party: it has neither metrics nor traces. */ -}}
{{- $metrics := dict -}}
{{- if $own.edge -}}
{{- $metrics = dict "http" 8000 -}}
{{- with include "common.otlp" .chart }}{{ $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" . }}{{ end -}}
{{- if include "common.observed" (dict "chart" .chart "part" "jaeger") }}{{ $_ := set $to "jaeger" 4318 }}{{ end -}}
{{- end -}}
{{- $probe := dict "timeoutSeconds" 5 -}}
{{- $given := dict
  "secrets" (concat $secrets (.secrets | default list))
  "from" (concat $from (.from | default list))
  "to" (merge $to (.to | default dict))
  "headless" $own.edge -}}
{{- if has "postgres" $own.stores }}{{ $_ := set $given "migration" (.migration | default dict) }}{{ end -}}
{{- include "common.app" (merge $given . (dict
  "user" 65532
  "port" 8000
  "portName" "http"
  "priority" "services"
  "given" true
  "env" $env
  "metrics" $metrics
  "probes" (dict
    "startup" (merge (dict "httpGet" (dict "path" "/health/startup" "port" "http") "periodSeconds" 1 "failureThreshold" 600) $probe)
    "readiness" (merge (dict "httpGet" (dict "path" "/health/ready" "port" "http") "periodSeconds" 5) $probe)
    "liveness" (merge (dict "httpGet" (dict "path" "/health/live" "port" "http") "failureThreshold" 6) $probe)))) }}
{{- end }}

{{- /* The stores, with the port of each and the Secret's key for the URL by which a service connects to it. */ -}}
{{- define "common.stores" -}}
postgres: {port: 5432, secret: database-url}
rabbitmq: {port: 5672, secret: broker-url}
valkey: {port: 6379, secret: valkey-url}
{{- end }}

{{- /* A JSON object whose `names` lists the services that connect to a store. Takes the store's name. */ -}}
{{- define "common.clients" -}}
{{- $store := . -}}
{{- $names := list -}}
{{- range $name, $each := include "common.declared" . | fromYaml }}{{ if has $store $each.stores }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{ dict "names" $names | toJson }}
{{- end }}

{{- /* Not empty if this release has the observability chart. Takes a dict of chart and, if it asks for one, part. */ -}}
{{- define "common.observed" -}}
{{- $of := (.chart.Values.global | default dict).observability | default dict -}}
{{- if and $of.enabled (or (not .part) (dig (.part | default "") true $of)) }}yes{{ end -}}
{{- end }}

{{- /* Where this app sends its traces, or nothing. Takes the chart's root context. */ -}}
{{- define "common.otlp" -}}
{{ include "common.tool" (dict "chart" . "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "part" "jaeger" "port" 4318) }}
{{- end }}

{{- /*
The URL of a tool that observes the release, or nothing: the one of the variable `name` in the config of the release or of
this app, or else that of a part of the observability chart. Takes a dict of chart, name, part and port.
*/ -}}
{{- define "common.tool" -}}
{{- $named := get ((.chart.Values.global | default dict).config | default dict) .name -}}
{{- $own := get (.chart.Values.config | default dict) .name -}}
{{- $ours := include "common.observed" . | empty | ternary "" (printf "http://%s:%v" .part .port) -}}
{{ $named | default $own | default $ours }}
{{- end }}
