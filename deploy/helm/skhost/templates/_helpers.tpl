{{/* Names: one DNS label each. 63 characters less what is put behind them: `-valkey`, and what a
StatefulSet adds to its pods' labels. */}}
{{- define "skhost.name" -}}
{{- default .Chart.Name .Values.nameOverride | lower | replace "." "-" | trunc 43 | trimSuffix "-" }}
{{- end }}

{{- define "skhost.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride | lower }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | lower | replace "." "-" | trunc 43 | trimSuffix "-" }}
{{- end }}

{{/* Selector labels of a component: (list . "api"). */}}
{{- define "skhost.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ include "skhost.name" $top }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "skhost.labels" -}}
{{- $top := index . 0 -}}
{{ include "skhost.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "skhost.serviceAccountName" -}}
{{- default (ternary (include "skhost.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* The image of a component: (list . .Values.api). A GPU needs the image that was built with CUDA. */}}
{{- define "skhost.image" -}}
{{- $top := index . 0 -}}
{{- $variant := ternary "cuda" "cpu" (gt (int (index . 1).gpu.count) 0) -}}
{{- $tag := default (printf "%s-%s" $top.Chart.AppVersion $variant) $top.Values.image.tag -}}
{{ printf "%s:%s" $top.Values.image.repository $tag }}
{{- end }}

{{/* Of the servers. A priority class belongs to no namespace, so its name says which one. */}}
{{- define "skhost.priorityClassName" -}}
{{- printf "%s-%s" .Release.Namespace (include "skhost.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "skhost.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The volume that server and worker share: store, uploads, checkpoints. */}}
{{- define "skhost.claimName" -}}
{{- default (printf "%s-data" (include "skhost.fullname" .)) .Values.storage.volume.existingClaim }}
{{- end }}

{{/* A number of values.yaml as people write it: Helm reads 2147483648 as 2.147483648e+09. */}}
{{- define "skhost.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* What cannot work together, said before anything is installed. */}}
{{- define "skhost.refuse" -}}
{{- $redis := len (compact (list .Values.redis.url .Values.redis.existingSecret)) }}
{{- if and .Values.valkey.enabled (gt $redis 0) }}
{{- fail "redis.url or redis.existingSecret is set while valkey.enabled is true: set valkey.enabled=false to use the Redis outside, or remove them" }}
{{- end }}
{{- if and (not .Values.valkey.enabled) (ne $redis 1) }}
{{- fail "valkey.enabled is false: set one of redis.url and redis.existingSecret, and not both" }}
{{- end }}
{{- if not (or .Values.storage.url .Values.storage.volume.enabled) }}
{{- fail "storage.volume.enabled is false and storage.url is empty: server and worker would have no store in common" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled is true: name at least one of ingress.hosts" }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.enabled is true: name at least one gateway in gateway.parentRefs" }}
{{- end }}
{{- if and .Values.models.existingClaim .Values.models.init.image }}
{{- fail "models.existingClaim and models.init.image both fill /models: set one of them" }}
{{- end }}
{{- include "skhost.refuseAutoscaling" . }}
{{- with .Values.networkPolicy }}
{{- if and .restrictEgress (not .to) (or (not $.Values.valkey.enabled) $.Values.storage.url (not $.Values.hub.offline)) }}
{{- fail "networkPolicy.restrictEgress is true: name the outside Redis, store or Hub in networkPolicy.to" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "skhost.refuseAutoscaling" -}}
{{- range $component := list "api" "worker" }}
{{- with (index $.Values $component).autoscaling }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "%s.autoscaling.minReplicas is above maxReplicas" $component) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.api.autoscaling }}
{{- if and .enabled (not .queueMilliseconds) (not .queueTokens) }}
{{- fail "api.autoscaling.enabled is true: set queueMilliseconds, queueTokens or both" }}
{{- end }}
{{- end }}
{{- with .Values.worker.autoscaling }}
{{- if and .enabled (not .prometheusUrl) }}
{{- fail "worker.autoscaling.enabled is true: set prometheusUrl, where KEDA asks for the jobs" }}
{{- end }}
{{- end }}
{{- end }}
