{{/* What every pod of ours has. */}}
{{- define "cleancut.podBasics" -}}
automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
enableServiceLinks: false
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* The secrets that are mounted: volume, and name. Each lies in /etc/cleancut/<volume>. */}}
{{- define "cleancut.secrets" -}}
{{- $all := dict
  "etcd" .Values.etcd.tlsSecret
  "api" .Values.api.tlsSecret
  "client" .Values.api.clientSecret
  "tokens" .Values.api.tokensSecret
  "client-token" .Values.api.clientTokenSecret
  "qdrant" .Values.qdrant.tlsSecret
  "api-key" .Values.qdrant.apiKeySecret
  "store" .Values.store.credentialsSecret
  "store-tls" .Values.store.tlsSecret
  "notify" .Values.notifySecret -}}
{{- range $name, $secret := $all }}
{{- if $secret }}
{{ $name }}: {{ $secret | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cleancut.coordinatorArgs" -}}
- {{ printf "--cluster=%s" .Values.cluster | quote }}
- {{ printf "--etcd=%s" (include "cleancut.etcd" .) | quote }}
{{- if .Values.etcd.tlsSecret }}
- "--etcd-ca=/etc/cleancut/etcd/ca.crt"
- "--etcd-cert=/etc/cleancut/etcd/tls.crt"
- "--etcd-key=/etc/cleancut/etcd/tls.key"
{{- end }}
- {{ printf "--store=%s" .Values.store.url | quote }}
- {{ printf "--qdrant-url=%s" (join "," .Values.qdrant.urls) | quote }}
{{- if .Values.qdrant.tlsSecret }}
- "--qdrant-ca=/etc/cleancut/qdrant/ca.crt"
{{- end }}
{{- if .Values.qdrant.apiKeySecret }}
- {{ printf "--qdrant-api-key-file=/etc/cleancut/api-key/%s" .Values.qdrant.apiKeySecretKey | quote }}
{{- end }}
{{- if .Values.api.tlsSecret }}
{{- if eq .Values.api.clientCertificates "required" }}
- "--grpc-ca=/etc/cleancut/api/ca.crt"
{{- end }}
- "--grpc-cert=/etc/cleancut/api/tls.crt"
- "--grpc-key=/etc/cleancut/api/tls.key"
{{- end }}
{{- if .Values.api.tokensSecret }}
- "--tokens-file=/etc/cleancut/tokens/tokens"
{{- end }}
{{- if include "cleancut.exposed" . }}
- {{ printf "--grpc=0.0.0.0:%v" .Values.api.port | quote }}
- {{ printf "--advertise=$(POD_IP):%v" .Values.api.port | quote }}
{{- else }}
- {{ printf "--grpc=127.0.0.1:%v" .Values.api.port | quote }}
{{- end }}
- {{ printf "--http=0.0.0.0:%v" .Values.httpPort | quote }}
{{- if .Values.ui.enabled }}
- {{ printf "--ui=127.0.0.1:%v" .Values.ui.port | quote }}
{{- end }}
- "--config=/etc/cleancut/settings/settings.toml"
{{- range .Values.insecure }}
- {{ printf "--insecure=%s" . | quote }}
{{- end }}
- {{ printf "--log-level=%s" .Values.logLevel | quote }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* For the program, and for `kubectl exec` of the command line. */}}
{{- define "cleancut.coordinatorEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- if .Values.store.credentialsSecret }}
- name: {{ include "cleancut.storeVariable" . }}
  value: {{ printf "/etc/cleancut/store/%s" .Values.store.credentialsSecretKey | quote }}
{{- end }}
{{- if .Values.store.tlsSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/cleancut/store-tls/ca.crt
{{- end }}
- name: CLEANCUT_CLUSTER
  value: {{ .Values.cluster | quote }}
- name: CLEANCUT_STORE
  value: {{ .Values.store.url | quote }}
{{ include "cleancut.clientEnv" (merge (dict "local" true) .) }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How the command line finds the API; in a coordinator's pod, with `local`, that one first. */}}
{{- define "cleancut.clientEnv" -}}
- name: CLEANCUT_COORDINATOR
  value: {{ include "cleancut.api" . | quote }}
{{- if .Values.api.tlsSecret }}
{{- $folder := ternary "client" "api" (ne .Values.api.clientSecret "") }}
- name: CLEANCUT_CA
  value: /etc/cleancut/{{ $folder }}/ca.crt
{{- if eq .Values.api.clientCertificates "required" }}
- name: CLEANCUT_CERT
  value: /etc/cleancut/{{ $folder }}/tls.crt
- name: CLEANCUT_KEY
  value: /etc/cleancut/{{ $folder }}/tls.key
{{- end }}
{{- end }}
{{- if .Values.api.clientTokenSecret }}
- name: CLEANCUT_TOKEN_FILE
  value: /etc/cleancut/client-token/token
{{- end }}
{{- end -}}
