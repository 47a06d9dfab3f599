{{/* Names and labels. */}}
{{- define "contactship.name" -}}
{{- if contains "contactship" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-contactship" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "contactship.selector" -}}
app.kubernetes.io/name: contactship
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "contactship.labels" -}}
{{ include "contactship.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "contactship.secret" -}}
{{- if .Values.secret.external.enabled }}{{ include "contactship.name" . }}{{ else }}{{ .Values.secret.existingSecret }}{{ end }}
{{- end }}

{{/* The processes: their key in the values, name, image, command, and the queue that a worker serves. */}}
{{- define "contactship.processes" -}}
api: {name: api, image: api, command: contactship-api}
scheduler: {name: scheduler, image: sync-worker, command: contactship-scheduler}
aiWorker: {name: ai-worker, image: ai-worker, command: contactship-ai-worker, queue: ai}
syncWorker: {name: sync-worker, image: sync-worker, command: contactship-sync-worker, queue: sync}
deliveryWorker: {name: delivery-worker, image: delivery-worker, command: contactship-delivery-worker, queue: delivery}
{{- end }}

{{/* The environment of a process: (dict "root" $ "key" "aiWorker"). */}}
{{- define "contactship.env" -}}
{{- $root := .root }}
{{- range concat $root.Values.secretKeys.every (index $root.Values.secretKeys .key | default list) | uniq }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ include "contactship.secret" $root }}, key: {{ . }}, optional: {{ not (has . (list "DATABASE_URL" "REDIS_URL" "JWT_SECRET")) }}}}
{{- end }}
{{- if eq .key "api" }}
- {name: HOST, value: "0.0.0.0"}
- {name: PORT, value: "3000"}
{{- else }}
- {name: WORKER_HEALTH_HOST, value: "0.0.0.0"}
- {name: WORKER_HEALTH_PORT, value: "8081"}
{{- end }}
{{- if $root.Values.classification }}
- {name: CLASSIFICATION_FILE, value: /etc/contactship/classification.yaml}
{{- end }}
{{- range $name, $value := (index $root.Values .key).env }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "contactship.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "contactship.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What must hold before anything is rendered. */}}
{{- define "contactship.check" -}}
{{- if and .Values.secret.external.enabled .Values.secret.existingSecret }}{{ fail "set secret.existingSecret or secret.external.enabled, not both" }}{{ end }}
{{- if not (or .Values.secret.external.enabled .Values.secret.existingSecret) }}{{ fail "set secret.existingSecret or secret.external.enabled" }}{{ end }}
{{- if and .Values.secret.external.enabled (not .Values.secret.external.store.name) }}{{ fail "secret.external.store.name is empty" }}{{ end }}
{{- $grace := float64 (default 25 .Values.settings.SHUTDOWN_GRACE) }}
{{- range list "aiWorker" "syncWorker" "deliveryWorker" }}
{{- $mine := float64 (default $grace (index $.Values .).env.SHUTDOWN_GRACE) }}
{{- if lt (float64 (index $.Values .).terminationGracePeriodSeconds) (addf $mine 10) }}{{ fail (printf "%s.terminationGracePeriodSeconds must be at least SHUTDOWN_GRACE and 10 s" .) }}{{ end }}
{{- end }}
{{- end }}
