{{- range concat (default list .status.initContainerStatuses) (default list .status.containerStatuses) -}}
  {{- if and .state.running .started }}{{ $_ := set . "ready" true }}{{ end -}}
{{- end -}}
{{ template "precondition" . }}
{{ template "status" (dict "pod" . "now" Now "main" .status.containerStatuses "init" (default list .status.initContainerStatuses)) }}
