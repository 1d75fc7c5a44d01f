{{- $now := Now -}}
{{- $pod := . -}}
{{- range concat (default list .status.initContainerStatuses) (default list .status.containerStatuses) -}}
  {{- if and .state.running (not .started) -}}
    {{- $_ := set . "lastState" (dict "terminated" (dict "exitCode" 1 "reason" "Error" "message" (toString now.UnixMilli) "containerID" .containerID "startedAt" .state.running.startedAt "finishedAt" $now)) -}}
    {{- $message := printf "back-off 10s restarting failed container=%s pod=%s_%s(%s)" .name $pod.metadata.name $pod.metadata.namespace $pod.metadata.uid -}}
    {{- $_ := set . "state" (dict "waiting" (dict "reason" "CrashLoopBackOff" "message" $message)) -}}
  {{- end -}}
{{- end -}}
{{ template "precondition" . }}
{{ template "status" (dict "pod" . "now" $now "main" .status.containerStatuses "init" (default list .status.initContainerStatuses)) }}
