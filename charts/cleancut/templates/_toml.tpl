{{/*
A map as TOML: `dict "path" "" "table" $map`. Helm's toToml writes whole numbers as 7.0, which
counts do not accept. Strings, numbers and lists of them are written as in JSON.
*/}}
{{- define "cleancut.toml" -}}
{{- $path := .path -}}
{{- $tables := dict -}}
{{- range $key, $value := .table }}
{{- $isTables := and (kindIs "slice" $value) $value (kindIs "map" (first $value)) -}}
{{- if or (kindIs "map" $value) $isTables }}
{{- $_ := set $tables $key $value }}
{{- else }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := $tables }}
{{- $name := ternary $key (printf "%s.%s" $path $key) (eq $path "") }}
{{- if kindIs "map" $value }}

[{{ $name }}]
{{- include "cleancut.toml" (dict "path" $name "table" $value) }}
{{- else }}
{{- range $value }}

[[{{ $name }}]]
{{- include "cleancut.toml" (dict "path" $name "table" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
