{{- define "broker.tenant" -}}{{ .Values.tenant | default .Release.Name }}{{- end }}
{{- define "broker.name" -}}{{ printf "%s-gpt-broker" .Release.Name | trunc 52 | trimSuffix "-" }}{{- end }}
{{- define "broker.selector" -}}
app.kubernetes.io/name: gpt-broker
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: broker
{{- end }}
{{- define "broker.labels" -}}
{{ include "broker.selector" . }}
{{ include "broker.common" . }}
{{- end }}
{{- define "broker.common" -}}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/part-of: gpt-broker
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "broker.secret" -}}
{{- if .Values.secrets.external.enabled }}{{ include "broker.name" . }}-secrets
{{- else }}{{ required "secrets.existing: name the Secret that holds OPENAI_API_KEY, SUPABASE_SERVICE_KEY and REDIS_URL, or enable secrets.external" .Values.secrets.existing }}
{{- end }}
{{- end }}
{{- define "broker.image" -}}
{{ .Values.image.repository }}:{{ required "image.tag: name the commit that the image is built from" .Values.image.tag }}
{{- end }}
{{- define "broker.hardened" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
{{- define "broker.unprivileged" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}
