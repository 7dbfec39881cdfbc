{{- /* What the Jobs of leader and workers have in common. Takes what a task takes. */ -}}
{{- define "loadtest.job" -}}
activeDeadlineSeconds: {{ .values.deadlineSeconds }}
ttlSecondsAfterFinished: {{ .values.ttlSeconds }}
template:
  metadata: {{- include "common.pod.metadata" . | nindent 4 }}
  spec:
    {{- $beside := and .values.keepResults (include "loadtest.results" .) }}
    {{- include "common.task" (merge (dict "beside" $beside) .) | nindent 4 }}
{{- end }}

{{- /* A container that keeps the pod, and with it the files of the run, until somebody has taken them. */ -}}
{{- define "loadtest.results" -}}
- name: results
  {{- include "common.container" . | nindent 2 }}
  command: [sh, -c, "trap 'exit 0' TERM; until [ -e /results/taken ]; do sleep 1; done"]
  resources:
    requests: {cpu: 5m, memory: 8Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: results, mountPath: /results}
{{- end }}
