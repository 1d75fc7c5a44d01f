{{- $now := Now -}}
{{- range concat (default list .status.initContainerStatuses) (default list .status.containerStatuses) -}}
  {{- if .state.running -}}
    {{- $_ := set . "state" (dict "terminated" (dict "exitCode" 0 "reason" "Completed" "containerID" .containerID "startedAt" .state.running.startedAt "finishedAt" $now)) -}}
    {{- $_ := set . "ready" false }}{{ $_ := set . "started" false -}}
  {{- end -}}
{{- end -}}
{{ template "precondition" . }}
{{ template "status" (dict "pod" . "now" $now "main" .status.containerStatuses "init" (default list .status.initContainerStatuses)) }}
