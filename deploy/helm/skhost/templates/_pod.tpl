{{/* What the pods of server and worker have in common. Each takes (list . "api" .Values.api). */}}

{{- define "skhost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "skhost.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "skhost.podMeta" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
labels:
  {{- include "skhost.labels" (list $top (index . 1)) | nindent 2 }}
  {{- with $component.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or $top.Values.redis.url $component.annotations }}
annotations:
  {{- with $top.Values.redis.url }}
  checksum/redis: {{ sha256sum . }} # another URL starts the pods anew
  {{- end }}
  {{- with $component.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "skhost.podPlacement" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
serviceAccountName: {{ include "skhost.serviceAccountName" $top }}
automountServiceAccountToken: false
# Kubernetes would add variables like SKHOST_PORT=tcp://..., which are settings here.
enableServiceLinks: false
{{- include "skhost.pullSecrets" $top }}
securityContext:
  {{- include "skhost.podSecurity" $top | nindent 2 }}
{{- with $component.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $component.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "skhost.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "skhost.spread" . }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "skhost.priority" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with $component.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Over nodes and zones, as far as it goes; not where a volume keeps the pods together. */}}
{{- define "skhost.spread" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
{{- if $component.topologySpreadConstraints }}
{{- toYaml $component.topologySpreadConstraints }}
{{- else if not (include "skhost.affinity" .) }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "skhost.selector" (list $top (index $ 1)) | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "skhost.priority" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
{{- if $component.priorityClassName }}
{{- $component.priorityClassName }}
{{- else if and $top.Values.priorityClass.create (eq (index . 1) "api") }}
{{- include "skhost.priorityClassName" $top }}
{{- end }}
{{- end }}

{{/* A ReadWriteOnce volume can be mounted on one node only: its pods are kept together. */}}
{{- define "skhost.affinity" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
{{- if $component.affinity }}
{{- toYaml $component.affinity }}
{{- else if and $top.Values.storage.volume.enabled (eq $top.Values.storage.volume.accessMode "ReadWriteOnce") -}}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          app.kubernetes.io/name: {{ include "skhost.name" $top }}
          app.kubernetes.io/instance: {{ $top.Release.Name }}
        matchExpressions:
          - key: app.kubernetes.io/component
            operator: In
            values: [api, worker]
{{- end }}
{{- end }}

{{- define "skhost.env" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
{{- $settings := merge (dict) $component.settings $top.Values.settings -}}
- name: SKHOST_HOST
  value: "0.0.0.0"
- name: SKHOST_PORT
  value: "8080"
{{- include "skhost.authEnv" (list $top (index . 1)) }}
- name: SKHOST_DATA_DIR
  value: /data
- name: SKHOST_DRAIN_TIMEOUT_S
  value: {{ include "skhost.scalar" $component.drainSeconds | quote }}
{{- if eq (index . 1) "api" }}
- name: SKHOST_LEAVE_S
  value: {{ include "skhost.scalar" $component.leaveSeconds | quote }}
{{- end }}
{{- include "skhost.redisEnv" $top }}
{{- with $top.Values.storage.url }}
- name: SKHOST_STORE_URL
  value: {{ . | quote }}
{{- end }}
{{- if and (gt (int $component.gpu.count) 0) (not (hasKey $settings "device")) }}
- name: SKHOST_DEVICE
  value: cuda
{{- end }}
{{- range $name, $value := $settings }}
- name: {{ printf "SKHOST_%s" (upper $name) }}
  value: {{ include "skhost.scalar" $value | quote }}
{{- end }}
{{- include "skhost.threadsEnv" (list (index . 1) $settings) }}
- name: HF_HUB_OFFLINE
  value: {{ ternary "1" "0" $top.Values.hub.offline | quote }}
{{- with $top.Values.hub.existingSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $top.Values.hub.existingSecretKey }}
{{- end }}
{{- with $component.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* As many threads as the container may use processors, not as many as its node has. */}}
{{- define "skhost.threadsEnv" -}}
{{- $setting := ternary "worker_threads" "threads" (eq (index . 0) "worker") -}}
{{- if not (hasKey (index . 1) $setting) }}
- name: {{ printf "SKHOST_%s" (upper $setting) }}
  valueFrom:
    resourceFieldRef:
      resource: limits.cpu
      divisor: "1"
{{- end }}
{{- end }}

{{/* Only the server asks for keys. */}}
{{- define "skhost.authEnv" -}}
{{- $top := index . 0 -}}
{{- if not $top.Values.auth.enabled }}
- name: SKHOST_ALLOW_REMOTE
  value: "true"
{{- else if eq (index . 1) "api" }}
- name: SKHOST_REQUIRE_KEYS
  value: "true"
{{- with $top.Values.auth.existingSecret }}
- name: SKHOST_ADMIN_KEY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $top.Values.auth.existingSecretKey }}
{{- end }}
{{- end }}
{{- end }}

{{- define "skhost.redisEnv" -}}
{{- if not .Values.valkey.enabled }}
- name: SKHOST_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ default (printf "%s-redis" (include "skhost.fullname" .)) .Values.redis.existingSecret }}
      key: {{ ternary .Values.redis.existingSecretKey "url" (ne .Values.redis.existingSecret "") }}
{{- else if .Values.valkey.auth.existingSecret }}
- name: VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.valkey.auth.existingSecret }}
      key: {{ .Values.valkey.auth.existingSecretKey }}
- name: SKHOST_REDIS_URL
  value: redis://:$(VALKEY_PASSWORD)@{{ include "skhost.fullname" . }}-valkey:6379/0
{{- else }}
- name: SKHOST_REDIS_URL
  value: redis://{{ include "skhost.fullname" . }}-valkey:6379/0
{{- end }}
{{- end }}

{{- define "skhost.containerTail" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
env:
  {{- include "skhost.env" . | nindent 2 }}
{{- with $top.Values.storage.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
securityContext:
  {{- include "skhost.containerSecurity" $top | nindent 2 }}
resources:
  {{- include "skhost.resources" $component | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
  {{- if or $top.Values.models.existingClaim $top.Values.models.init.image }}
  - name: models
    mountPath: /models
    readOnly: true
  {{- end }}
  {{- with $component.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "skhost.resources" -}}
{{- $resources := deepCopy .resources }}
{{- if gt (int .gpu.count) 0 }}
{{- $limits := default (dict) $resources.limits }}
{{- $_ := set $limits .gpu.resource (int .gpu.count) }}
{{- $_ := set $resources "limits" $limits }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{- define "skhost.volumes" -}}
{{- $top := index . 0 -}}
{{- $component := index . 2 -}}
- name: data
  {{- if $top.Values.storage.volume.enabled }}
  persistentVolumeClaim:
    claimName: {{ include "skhost.claimName" $top }}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 2Gi
{{- with $top.Values.models.existingClaim }}
- name: models
  persistentVolumeClaim:
    claimName: {{ . }}
    readOnly: true
{{- end }}
{{- if $top.Values.models.init.image }}
- name: models
  emptyDir:
    sizeLimit: {{ $top.Values.models.init.size }}
{{- end }}
{{- with $component.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Fills /models before the start. */}}
{{- define "skhost.initContainers" -}}
{{- with .Values.models.init }}
{{- if .image }}
initContainers:
  - name: models
    image: {{ .image }}
    imagePullPolicy: {{ .pullPolicy }}
    {{- with .command }}
    command:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .existingSecret }}
    envFrom:
      - secretRef:
          name: {{ . }}
    {{- end }}
    securityContext:
      {{- include "skhost.containerSecurity" $ | nindent 6 }}
    resources:
      {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      - name: models
        mountPath: /models
      - name: tmp
        mountPath: /tmp
{{- end }}
{{- end }}
{{- end }}
