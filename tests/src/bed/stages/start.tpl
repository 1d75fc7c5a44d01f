{{- $now := Now -}}
{{- $pod := . -}}
{{- $sim := default dict .metadata.annotations -}}
{{- $main := list -}}{{- $init := list -}}
{{- range $index, $container := concat (default list .spec.initContainers) .spec.containers -}}
  {{- $isInit := lt $index (len (default list $pod.spec.initContainers)) -}}
  {{- $id := printf "sim://%s/%s/0/%d" $pod.metadata.uid .name now.UnixMilli -}}
  {{- $status := dict "name" .name "image" .image "imageID" (printf "sim://%s" .image) "containerID" $id "restartCount" 0 "ready" true "started" true "state" (dict "running" (dict "startedAt" $now)) -}}
  {{- if and $isInit (ne (toString (get . "restartPolicy")) "Always") -}}
    {{- $_ := set $status "started" false -}}
    {{- $_ := set $status "state" (dict "terminated" (dict "exitCode" 0 "reason" "Completed" "containerID" $id "startedAt" $now "finishedAt" $now)) -}}
  {{- else if eq (toString (get $sim "sim.cafe.dev/image-pull-error")) "true" -}}
    {{- $status = dict "name" .name "image" .image "imageID" "" "restartCount" 0 "ready" false "started" false "state" (dict "waiting" (dict "reason" "ImagePullBackOff" "message" (printf "Back-off pulling image %q: not found" .image))) -}}
  {{- else if eq (toString (get $sim "sim.cafe.dev/crash")) "true" -}}
    {{- $_ := set $status "ready" false }}{{ $_ := set $status "started" false -}}
  {{- else if get $sim "sim.cafe.dev/ready-delay" -}}
    {{- $_ := set $status "ready" false -}}
  {{- end -}}
  {{- if $isInit }}{{ $init = append $init $status }}{{ else }}{{ $main = append $main $status }}{{ end -}}
{{- end -}}
{{ template "precondition" . }}
{{ template "status" (dict "pod" . "now" $now "main" $main "init" $init) }}
  startTime: {{ $now | Quote }}
  {{- with NodeIPsWith .spec.nodeName }}
  hostIP: {{ index . 0 | Quote }}
  hostIPs: [{{ range $index, $ip := . }}{{ if $index }}, {{ end }}{ip: {{ $ip | Quote }}}{{ end }}]
  {{- end }}
  {{- with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
  podIP: {{ index . 0 | Quote }}
  podIPs: [{{ range $index, $ip := . }}{{ if $index }}, {{ end }}{ip: {{ $ip | Quote }}}{{ end }}]
  {{- end }}
