{{/* Name of the chart's objects. */}}
{{- define "cleancut.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cleancut.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects pods of a component: `dict "root" $ "component" "coordinator"`. */}}
{{- define "cleancut.selector" -}}
app.kubernetes.io/name: {{ include "cleancut.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of an object: the same dict. */}}
{{- define "cleancut.labels" -}}
{{ include "cleancut.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cleancut
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cleancut.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cleancut.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image by `dict "root" $ "image" .Values.image`. */}}
{{- define "cleancut.image" -}}
{{- $registry := default .root.Values.global.imageRegistry .image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end -}}
{{- end -}}

{{/* Endpoints of etcd, for `--etcd`. */}}
{{- define "cleancut.etcd" -}}
{{- if .Values.etcd.tryout.enabled -}}
{{- printf "%s-etcd.%s.svc:2379" (include "cleancut.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- join "," .Values.etcd.endpoints -}}
{{- end -}}
{{- end -}}

{{/* The path of a file:// store. */}}
{{- define "cleancut.storePath" -}}
{{- if hasPrefix "file://" .Values.store.url }}{{ trimPrefix "file://" .Values.store.url }}{{ end -}}
{{- end -}}

{{/* The variable that names the store's file of credentials. */}}
{{- define "cleancut.storeVariable" -}}
{{- if hasPrefix "az://" .Values.store.url -}}
CLEANCUT_AZURE_CREDENTIALS
{{- else if hasPrefix "gs://" .Values.store.url -}}
GOOGLE_APPLICATION_CREDENTIALS
{{- else -}}
AWS_SHARED_CREDENTIALS_FILE
{{- end -}}
{{- end -}}

{{/* Whether the API is there for others than its own pod. */}}
{{- define "cleancut.exposed" -}}
{{- if or .Values.api.tlsSecret (has "api" .Values.insecure) }}yes{{ end -}}
{{- end -}}

{{/* Where clients reach the API; with `local`, first at the pod that they are in. */}}
{{- define "cleancut.api" -}}
{{- if include "cleancut.exposed" . -}}
{{- if .local }}{{ printf "127.0.0.1:%v," .Values.api.port }}{{ end -}}
{{- printf "%s.%s.svc:%v" (include "cleancut.fullname" .) .Release.Namespace .Values.api.port -}}
{{- else -}}
{{- printf "127.0.0.1:%v" .Values.api.port -}}
{{- end -}}
{{- end -}}

{{/* Settings that cannot be meant together. */}}
{{- define "cleancut.check" -}}
{{- if not (or .Values.etcd.tryout.enabled .Values.etcd.endpoints) }}
{{- fail "etcd.endpoints: name etcd's members as host:port, or set etcd.tryout.enabled" }}
{{- end }}
{{- if and .Values.etcd.tryout.enabled (or .Values.etcd.endpoints .Values.etcd.tlsSecret) }}
{{- fail "etcd.tryout.enabled: it is an etcd of its own, without TLS; leave etcd.endpoints and etcd.tlsSecret empty" }}
{{- end }}
{{- if and (not (include "cleancut.exposed" .)) (gt (int .Values.replicaCount) 1) }}
{{- fail "api.tlsSecret: without certificates the API is on loopback alone, so set replicaCount to 1" }}
{{- end }}
{{- range .Values.qdrant.urls }}
{{- if and $.Values.qdrant.apiKeySecret (not (has "qdrant" $.Values.insecure)) (not (regexMatch "^(https://|http://(localhost|127\\.|\\[::1]))" .)) }}
{{- fail "qdrant.apiKeySecret: the key would cross the network in the clear; use https, or say `insecure: [qdrant]`" }}
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.monitoring.serviceMonitor.enabled (not .Values.networkPolicy.monitoring) }}
{{- fail "networkPolicy.monitoring: name the sources of Prometheus, or the policy keeps it from the metrics" }}
{{- end }}
{{- if and .Values.api.tokensSecret (not (include "cleancut.exposed" .)) }}
{{- fail "api.tokensSecret: without api.tlsSecret the API is on loopback alone, and needs no tokens" }}
{{- end }}
{{- if and .Values.operator.enabled (not (include "cleancut.exposed" .)) }}
{{- fail "operator.enabled: without api.tlsSecret the API is on loopback alone, where the operator cannot reach it" }}
{{- end }}
{{- if and (eq .Values.api.clientCertificates "none") (not (and .Values.api.tlsSecret .Values.api.tokensSecret)) }}
{{- fail "api.clientCertificates: `none` needs api.tlsSecret and api.tokensSecret, else every caller is an admin" }}
{{- end }}
{{- if and (eq .Values.api.clientCertificates "none") .Values.settings.roles }}
{{- fail "settings.roles: they name certificates, and api.clientCertificates is none: give roles to tokens" }}
{{- end }}
{{- if and (hasPrefix "file://" .Values.store.url) (not .Values.store.existingClaim) }}
{{- fail "store.existingClaim: a file:// store is one volume that all pods share" }}
{{- end }}
{{- if and .Values.store.existingClaim (not (hasPrefix "file://" .Values.store.url)) }}
{{- fail "store.existingClaim: it is for a file:// store" }}
{{- end }}
{{- end -}}
