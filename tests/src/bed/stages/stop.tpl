{{- $now := Now -}}
{{- $images := dict -}}
{{- range .spec.containers }}{{ $_ := set $images .name .image }}{{ end -}}
{{- range .spec.initContainers }}{{ if eq (toString (get . "restartPolicy")) "Always" }}{{ $_ := set $images .name .image }}{{ end }}{{ end -}}
{{- $statuses := concat (default list .status.initContainerStatuses) (default list .status.containerStatuses) -}}
{{- range $statuses -}}
  {{- if and .state.running (hasKey $images .name) (ne (toString (get $images .name)) .image) -}}
    {{- /* The message keeps the moment in milliseconds, the time that `sim.cafe.dev/restart` is counted from. */ -}}
    {{- $terminated := dict "exitCode" 0 "reason" "Completed" "message" (toString now.UnixMilli) "containerID" .containerID "startedAt" .state.running.startedAt "finishedAt" $now -}}
    {{- $_ := set . "state" (dict "terminated" $terminated) -}}
    {{- $_ := set . "ready" false }}{{ $_ := set . "started" false -}}
  {{- end -}}
{{- end -}}
{{ template "precondition" . }}
{{ template "status" (dict "pod" . "now" $now "main" .status.containerStatuses "init" (default list .status.initContainerStatuses)) }}
