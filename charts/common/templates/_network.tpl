{{- /* A Service; with `headless` a second one, through which a proxy sees each ready pod. */ -}}
{{- define "common.services" }}
{{- $service := .values.service | default dict }}
{{- $open := and $service.type (ne $service.type "ClusterIP") }}
{{- $selector := include "common.selector" (dict "name" .name "component" "api") }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "common.metadata" (pick . "chart" "name") | nindent 2 }}
  {{- with $service.annotations }}
  annotations: {{- include "common.texts" . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $service.type | default "ClusterIP" }}
  {{- if $open }}
  externalTrafficPolicy: {{ $service.externalTrafficPolicy }}
  {{- end }}
  {{- with and (eq ($service.type | default "") "LoadBalancer") $service.loadBalancerClass }}
  loadBalancerClass: {{ quote . }}
  {{- $known := (lookup "v1" "Service" $.chart.Release.Namespace $.name).spec | default dict }}
  {{- if and (eq ($known.type | default "") "LoadBalancer") (ne ($known.loadBalancerClass | default "") .) }}
  {{- printf "%s: service.loadBalancerClass is %q and cannot be changed; delete the Service first, and with it its address" $.name ($known.loadBalancerClass | default "") | fail }}
  {{- end }}
  {{- end }}
  {{- if .affinity }}
  sessionAffinity: ClientIP
  {{- end }}
  selector: {{- $selector | nindent 4 }}
  ports:
    - name: {{ .portName }}
      port: {{ $service.port | default .port }}
      targetPort: {{ .portName }}
      {{- if and $open $service.nodePort }}
      nodePort: {{ $service.nodePort }}
      {{- end }}
    {{- range $name, $port := .ports }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}}
    {{- end }}
{{- if .headless }}
---
apiVersion: v1
kind: Service
metadata: {{- include "common.metadata" (dict "chart" .chart "name" .name "object" (printf "%s-headless" .name)) | nindent 2 }}
spec:
  clusterIP: None
  selector: {{- $selector | nindent 4 }}
  ports:
    - {name: {{ .portName }}, port: {{ .port }}, targetPort: {{ .portName }}}
{{- end }}
{{- end }}

{{- /* Denies all traffic except what is needed. It applies to all pods of the app, also to the migration's. */ -}}
{{- define "common.networkpolicy" }}
{{- $global := .chart.Values.global | default dict }}
{{- $own := .values.networkPolicy }}
{{- if $own.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "common.metadata" (pick . "chart" "name") | nindent 2 }}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: {{ .name }}}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if has "*" (.from | default list) }}
    - ports: [{port: {{ .port }}}]
    {{- else if .from }}
    - ports: [{port: {{ .port }}}]
      from:
        {{- range .from }}
        - podSelector: {matchLabels: {app.kubernetes.io/name: {{ . }}}}
        {{- end }}
    {{- end }}
    {{- $scrapers := $global.scrapers | default list }}
    {{- if include "common.observed" (dict "chart" .chart "part" "prometheus") }}
    {{- $scrapers = append $scrapers (dict "podSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" "prometheus"))) }}
    {{- end }}
    {{- if and .metrics $scrapers }}
    - ports:
        {{- range values .metrics | sortAlpha }}
        - port: {{ . }}
        {{- end }}
      from: {{- toYaml $scrapers | nindent 8 }}
    {{- end }}
    {{- with $own.ingress }}{{ toYaml . | nindent 4 }}{{ end }}
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
      to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
    {{- range $name, $port := .to }}
    - ports: [{port: {{ $port }}}]
      to: [{podSelector: {matchLabels: {app.kubernetes.io/name: {{ $name }}}}}]
    {{- end }}
    {{- with $own.egress }}{{ toYaml . | nindent 4 }}{{ end }}
    {{- with $global.egress }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
{{- end }}
