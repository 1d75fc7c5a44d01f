{{- $now := Now -}}
{{- $pod := . -}}
{{- $sim := default dict .metadata.annotations -}}
{{- $images := dict -}}
{{- range .spec.containers }}{{ $_ := set $images .name .image }}{{ end -}}
{{- range .spec.initContainers }}{{ if eq (toString (get . "restartPolicy")) "Always" }}{{ $_ := set $images .name .image }}{{ end }}{{ end -}}
{{- range concat (default list .status.initContainerStatuses) (default list .status.containerStatuses) -}}
  {{- if and (not .state.running) (hasKey $images .name) -}}
    {{- if .state.terminated }}{{ $_ := set . "lastState" (dict "terminated" .state.terminated) }}{{ end -}}
    {{- $image := toString (get $images .name) -}}
    {{- if eq (toString (get $sim "sim.cafe.dev/image-pull-error")) "true" -}}
      {{- /* A kubelet goes on naming the container that ran last. */ -}}
      {{- $_ := set . "state" (dict "waiting" (dict "reason" "ImagePullBackOff" "message" (printf "Back-off pulling image %q: not found" $image))) -}}
    {{- else -}}
      {{- $count := 0 -}}
      {{- if .containerID }}{{ $count = add1 .restartCount }}{{ end -}}
      {{- $digest := printf "sim://%s" $image -}}
      {{- if and .imageID (eq (toString (get $sim "sim.cafe.dev/same-digest")) "true") }}{{ $digest = .imageID }}{{ end -}}
      {{- $crashes := eq (toString (get $sim "sim.cafe.dev/crash")) "true" -}}
      {{- $_ := set . "image" $image }}{{ $_ := set . "imageID" $digest }}{{ $_ := set . "restartCount" $count -}}
      {{- $_ := set . "containerID" (printf "sim://%s/%s/%d/%d" $pod.metadata.uid .name $count now.UnixMilli) -}}
      {{- $_ := set . "state" (dict "running" (dict "startedAt" $now)) -}}
      {{- $_ := set . "started" (not $crashes) -}}
      {{- $_ := set . "ready" (not (or $crashes (get $sim "sim.cafe.dev/ready-delay"))) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{ template "precondition" . }}
{{ template "status" (dict "pod" . "now" $now "main" .status.containerStatuses "init" (default list .status.initContainerStatuses)) }}
