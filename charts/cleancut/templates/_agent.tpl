{{/* A size in whole MiB. */}}
{{- define "cleancut.mib" -}}
{{- $unit := regexFind "[KMGT]i$" . -}}
{{- $mib := dict "Ki" (divf 1.0 1024.0) "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 -}}
{{- mulf (trimSuffix $unit . | float64) (get $mib $unit) | floor | int64 -}}
{{- end -}}

{{/*
files/agent-values.yaml filled in, as `cleancut agent values` does it: ${word} is replaced, and lines
from `#for word` to `#end` stand once for each of its values.
*/}}
{{- define "cleancut.agentValues" -}}
{{- $values := .Values -}}
{{- $url := ternary "https://$(POD_NAME).qdrant-headless:6333" "http://127.0.0.1:6333" (ne $values.qdrant.tlsSecret "") -}}
{{- $spill := div (include "cleancut.mib" $values.agent.spillSize | int64) 2 -}}
{{- $memory := include "cleancut.mib" $values.agent.memory | int64 -}}
{{- $words := dict
  "image" (include "cleancut.image" (dict "root" . "image" $values.agent.image))
  "cluster" $values.cluster
  "etcd" (default (include "cleancut.etcd" .) (join "," $values.agent.etcdEndpoints))
  "store" $values.store.url
  "store_path" (include "cleancut.storePath" .)
  "store_variable" (include "cleancut.storeVariable" .)
  "store_key" $values.store.credentialsSecretKey
  "qdrant_url" (default $url $values.agent.qdrantUrl)
  "api_key_key" $values.qdrant.apiKeySecretKey
  "http_port" (toString $values.agent.httpPort)
  "spill_size" $values.agent.spillSize
  "spill_mib" (toString $spill)
  "disk_mib" (toString (add $spill 128))
  "memory_request" (ternary $values.agent.memory "256Mi" (lt $memory 256))
  "memory" $values.agent.memory -}}
{{- $lists := dict
  "etcd_secret" (list $values.etcd.tlsSecret)
  "store_secret" (list $values.store.credentialsSecret)
  "store_tls_secret" (list $values.store.tlsSecret)
  "store_claim" (list $values.store.existingClaim)
  "qdrant_secret" (list $values.qdrant.tlsSecret)
  "api_key_secret" (list (default $values.qdrant.apiKeySecret $values.agent.apiKeySecret))
  "storage_volume" (list $values.agent.storageVolume)
  "extra_secret" (list $values.agent.extraSecret)
  "extra_arg" $values.agent.extraArgs
  "restricted" (list (ternary "yes" "" $values.agent.restricted)) -}}
{{- $lines := list -}}
{{- $block := list -}}
{{- $name := "" -}}
{{- range $line := splitList "\n" (trimSuffix "\n" (.Files.Get "files/agent-values.yaml")) -}}
{{- $bare := trim $line -}}
{{- if hasPrefix "#for " $bare -}}
{{- $name = trimPrefix "#for " $bare -}}
{{- $block = list -}}
{{- else if eq $bare "#end" -}}
{{- range $value := compact (get $lists $name) -}}
{{- range $one := $block -}}
{{- $lines = append $lines (replace (printf "${%s}" $name) $value $one) -}}
{{- end -}}
{{- end -}}
{{- $name = "" -}}
{{- else if $name -}}
{{- $block = append $block $line -}}
{{- else -}}
{{- $lines = append $lines $line -}}
{{- end -}}
{{- end -}}
{{- $text := join "\n" $lines -}}
{{- range $word, $value := $words -}}
{{- $text = replace (printf "${%s}" $word) $value $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}
