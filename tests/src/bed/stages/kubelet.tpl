{{- /* Pieces that every pod stage shares. The output is YAML in its JSON form. */ -}}

{{- /* Writes `metadata`: the version that the stage was chosen for. A pod that has changed since is looked at again,
       instead of being overwritten with yesterday's answer. */ -}}
{{- define "precondition" -}}
metadata: {uid: {{ .metadata.uid | Quote }}, resourceVersion: {{ .metadata.resourceVersion | Quote }}}
{{- end -}}

{{- /* Writes the conditions as a kubelet words them. Takes pod, now, unready (names of containers). */ -}}
{{- define "conditions" -}}
{{- $now := .now -}}
{{- $generation := .pod.metadata.generation -}}
{{- $have := dict -}}
{{- range .pod.status.conditions }}{{ $_ := set $have .type . }}{{ end -}}
{{- $gates := list -}}
{{- range .pod.spec.readinessGates -}}
  {{- if not (hasKey $have .conditionType) -}}
    {{- $gates = append $gates (printf "corresponding condition of pod readiness gate %q does not exist." .conditionType) -}}
  {{- else if ne (get $have .conditionType).status "True" -}}
    {{- $gates = append $gates (printf "the status of pod readiness gate %q is not \"True\", but %s" .conditionType (get $have .conditionType).status) -}}
  {{- end -}}
{{- end -}}
{{- $containers := dict "type" "ContainersReady" "status" "True" "reason" "" "message" "" -}}
{{- $ready := dict "type" "Ready" "status" "True" "reason" "" "message" "" -}}
{{- if .unready -}}
  {{- $message := printf "containers with unready status: [%s]" (join " " .unready) -}}
  {{- $containers = dict "type" "ContainersReady" "status" "False" "reason" "ContainersNotReady" "message" $message -}}
  {{- $ready = dict "type" "Ready" "status" "False" "reason" "ContainersNotReady" "message" $message -}}
{{- else if $gates -}}
  {{- $ready = dict "type" "Ready" "status" "False" "reason" "ReadinessGatesNotReady" "message" (join ", " $gates) -}}
{{- end -}}
{{- $initialized := dict "type" "Initialized" "status" "True" -}}
{{- $sandbox := dict "type" "PodReadyToStartContainers" "status" "True" -}}
{{- range list $sandbox $initialized $containers $ready -}}
  {{- $before := default dict (get $have .type) -}}
  {{- $since := $now -}}
  {{- if and (eq (toString (get $before "status")) .status) (get $before "lastTransitionTime") }}{{ $since = get $before "lastTransitionTime" }}{{ end -}}
  {{- $_ := set . "lastTransitionTime" $since -}}
  {{- $_ := set . "observedGeneration" $generation -}}
{{- end -}}
{{- list $sandbox $initialized $containers $ready | toJson -}}
{{- end -}}

{{- /* Writes a status with containers. Takes pod, now, main and init (lists of container statuses), ip (or nothing). */ -}}
{{- define "status" -}}
{{- $unready := list -}}
{{- $ran := false -}}
{{- range concat .init .main -}}
  {{- if not .ready }}{{ $unready = append $unready .name }}{{ end -}}
  {{- if .containerID }}{{ $ran = true }}{{ end -}}
{{- end -}}
status:
  phase: {{ ternary "Running" "Pending" $ran }}
  observedGeneration: {{ .pod.metadata.generation }}
  conditions: {{ template "conditions" (dict "pod" .pod "now" .now "unready" $unready) }}
  containerStatuses: {{ toJson .main }}
  {{- if .init }}
  initContainerStatuses: {{ toJson .init }}
  {{- end }}
{{- end -}}
