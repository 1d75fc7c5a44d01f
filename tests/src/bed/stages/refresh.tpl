{{- $unready := list -}}
{{- range concat (default list .status.initContainerStatuses) (default list .status.containerStatuses) -}}
  {{- if not .ready }}{{ $unready = append $unready .name }}{{ end -}}
{{- end -}}
{{ template "precondition" . }}
status:
  observedGeneration: {{ .metadata.generation }}
  conditions: {{ template "conditions" (dict "pod" . "now" Now "unready" $unready) }}
