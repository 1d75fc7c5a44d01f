{{- /* Also the name of Services: a DNS label that begins with a letter. Overrides are such by the schema; a release may be called 1st.shop. */ -}}
{{- define "cafe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if regexMatch "^[0-9]" $release -}}
{{- $release = printf "r%s" $release -}}
{{- end -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if not (contains $name $release) -}}
{{- $release = printf "%s-%s" $release $name -}}
{{- end -}}
{{- regexReplaceAll "-+$" (trunc 40 $release) "" -}}
{{- end -}}
{{- end -}}

{{- define "cafe.controller" -}}{{ include "cafe.fullname" . }}-controller{{- end -}}
{{- define "cafe.webhook" -}}{{ include "cafe.fullname" . }}-webhook{{- end -}}

{{- define "cafe.account" -}}
{{- default (include "cafe.controller" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "cafe.labels" -}}
app.kubernetes.io/name: cafe
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cafe
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cafe.selector" -}}
app.kubernetes.io/name: cafe
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "cafe.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- if $image.registry }}{{ $name = printf "%s/%s" $image.registry $image.repository }}{{ end -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- /* What makes the certificate: own, files. */ -}}
{{- define "cafe.certificateFromFiles" -}}
{{- if or .Values.webhook.certManager.enabled .Values.webhook.existingSecret.name }}true{{ end -}}
{{- end -}}

{{- define "cafe.certificateSecret" -}}
{{- if .Values.webhook.existingSecret.name -}}
{{ .Values.webhook.existingSecret.name }}
{{- else -}}
{{ default (printf "%s-certificate" (include "cafe.webhook" .)) .Values.webhook.certificateSecret }}
{{- end -}}
{{- end -}}

{{- define "cafe.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
{{ include "cafe.selector" .root | indent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* What all entries of the webhook share. */ -}}
{{- define "cafe.hook" -}}
admissionReviewVersions: [v1]
sideEffects: None
matchPolicy: Equivalent
timeoutSeconds: {{ .hook.timeoutSeconds }}
{{- with .namespaces }}
namespaceSelector:
  matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{- end }}
clientConfig:
  {{- $client := deepCopy .client }}
  {{- $_ := set $client.service "path" .path }}
  {{- toYaml $client | nindent 2 }}
{{- end -}}
