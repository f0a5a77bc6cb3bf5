{{- define "icp-agent.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "icp-agent.selectorLabels" -}}
app: icp-agent
app.kubernetes.io/name: icp-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* They differ from the selector labels of the agent's pods. */}}
{{- define "icp-agent.csiLabels" -}}
app: icp-agent-csi
app.kubernetes.io/name: icp-agent-csi
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "icp-agent.publisherName" -}}{{ include "icp-agent.name" . | trunc 46 | trimSuffix "-" }}-bundle-publisher{{- end }}

{{/* They differ from the selector labels of the agent's pods. */}}
{{- define "icp-agent.publisherSelectorLabels" -}}
app: icp-agent-bundle-publisher
app.kubernetes.io/name: icp-agent-bundle-publisher
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "icp-agent.publisherLabels" -}}
{{ include "icp-agent.publisherSelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "icp-agent.labels" -}}
{{ include "icp-agent.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "icp-agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "icp-agent.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* Refuses the image in values of the older chart: it would start the older agent. */}}
{{- define "icp-agent.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if regexMatch "(^|/)spire-agent$" $repository }}{{ fail (printf "image.repository %q is the older agent's image: leave `image` out of the values of the older chart, or give the repository of icp-agent with --set image.repository=…" $repository) }}{{ end -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{/* Values of the older chart had other names, which still work. */}}
{{- define "icp-agent.tenantId" -}}
{{- $id := .Values.agent.tenantId | default .Values.tenantId | default "" | toString | lower | trim -}}
{{- $placeholders := list "your-tenant-id-here" "your-tenant-uuid-here" "your-tenant-uuid" "477e9f97-d8a9-442a-8d92-f771393fab66" -}}
{{- if not $id }}{{ fail "agent.tenantId is missing: give your tenant (or workspace) id, the UUID that the AuthSec console shows, with --set agent.tenantId=…" }}{{ end -}}
{{- if has $id $placeholders }}{{ fail (printf "agent.tenantId is the placeholder %q: give your own tenant (or workspace) id, the UUID that the AuthSec console shows" $id) }}{{ end -}}
{{- if not (regexMatch "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" $id) }}{{ fail (printf "agent.tenantId %q is not a UUID: give your tenant (or workspace) id as the AuthSec console shows it" $id) }}{{ end -}}
{{- $id -}}
{{- end }}

{{/* Two agents cannot run on one node: they would share its data directory, its socket and the lock on both. */}}
{{- define "icp-agent.updateStrategy" -}}
{{- $surge := dig "rollingUpdate" "maxSurge" 0 .Values.updateStrategy | default 0 | toString -}}
{{- if not (has $surge (list "0" "0%")) }}{{ fail (printf "updateStrategy.rollingUpdate.maxSurge is %s: it must be 0, because the new agent of a node waits for the lock of the old one, and the old one stays until the new one is ready; use maxUnavailable" $surge) }}{{ end -}}
{{- toYaml .Values.updateStrategy -}}
{{- end }}

{{- define "icp-agent.clusterName" -}}{{ .Values.agent.clusterName | default .Values.clusterName | default "" }}{{- end }}

{{- define "icp-agent.address" -}}{{ (.Values.icpService).address | default .Values.agent.icpServiceUrl }}{{- end }}

{{- define "icp-agent.logLevel" -}}{{ (.Values.logging).level | default .Values.agent.logLevel | lower }}{{- end }}

{{- define "icp-agent.healthEnabled" -}}
{{- $older := default dict .Values.health -}}
{{- if and .Values.healthProbe.enabled (ne (toString (get $older "enabled")) "false") }}true{{ end -}}
{{- end }}

{{- define "icp-agent.healthPort" -}}{{ (default dict .Values.health).port | default .Values.healthProbe.port }}{{- end }}

{{- define "icp-agent.socketDirectory" -}}{{ dir (trimPrefix "unix://" .Values.agent.socketPath) }}{{- end }}

{{/* Empty if the agent does not serve it: workloads mount its directory, or its path is too long for a socket. */}}
{{- define "icp-agent.healthSocket" -}}
{{- $agent := (include "icp-agent.config" . | fromYaml).agent -}}
{{- $data := clean $agent.data_dir -}}
{{- $sockets := dir (trimPrefix "unix://" $agent.socket_path) -}}
{{- $path := printf "%s/health.sock" $data -}}
{{- if and (not (hasPrefix (printf "%s/" $sockets) $path)) (le (len $path) 107) }}{{ $path }}{{ end -}}
{{- end }}

{{/* A probe of the values, with /healthz as its request if it names none. */}}
{{- define "icp-agent.livenessProbe" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
{{- if not (or $own.exec $own.httpGet $own.tcpSocket $own.grpc) -}}
{{- with include "icp-agent.healthSocket" $root -}}
exec:
  command: [curl, -fsS, --max-time, "4", --unix-socket, {{ . }}, http://localhost/healthz]
{{ else -}}
httpGet:
  path: /healthz
  port: health
  {{- if eq (include "icp-agent.healthScheme" $root) "HTTPS" }}
  scheme: HTTPS
  {{- end }}
{{ end -}}
{{- end -}}
{{- toYaml $own }}
{{- end }}

{{/* The protocol at the health port: `HTTPS` or `HTTP`. */}}
{{- define "icp-agent.healthScheme" -}}
{{- $health := (include "icp-agent.config" . | fromYaml).health -}}
{{- ternary "HTTP" "HTTPS" (has ($health.tls | toString) (list "off" "false")) -}}
{{- end }}

{{/* Scheme, TLS and token with which a monitor reads /metrics. */}}
{{- define "icp-agent.scrapeAccess" -}}
{{- $config := include "icp-agent.config" . | fromYaml -}}
{{- if eq (include "icp-agent.healthScheme" .) "HTTPS" -}}
scheme: https
{{- with .Values.monitoring.tlsConfig | default (ternary (dict "insecureSkipVerify" true) dict (eq ($config.health.tls | toString) "svid")) }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ end -}}
{{- $secret := .Values.metrics.bearerTokenSecret -}}
{{- if $secret.name -}}
authorization:
  credentials:
    name: {{ $secret.name }}
    key: {{ $secret.key }}
{{- else if dig "bearer_token_path" "" ($config.metrics | default dict) -}}
{{- fail "agent.extraConfig.metrics.bearer_token_path is set, and a monitor would be refused: give the token as metrics.bearerTokenSecret" -}}
{{- end -}}
{{- end }}

{{/* Directories of the host for the audit log and for bundles, as volumes by name. */}}
{{- define "icp-agent.hostDirectories" -}}
{{- $config := include "icp-agent.config" . | fromYaml -}}
{{- $data := clean $config.agent.data_dir -}}
{{- $found := dict -}}
{{- with .Values.audit.path }}{{ if hasPrefix "/" . }}{{ $_ := set $found "audit" (dir .) }}{{ end }}{{ end -}}
{{- with .Values.outputs.bundleDir }}{{ $_ := set $found "bundles" (clean .) }}{{ end -}}
{{- if eq (get $found "audit") (get $found "bundles") }}{{ $_ := unset $found "bundles" }}{{ end -}}
{{- $sockets := include "icp-agent.socketDirectory" . -}}
{{- range $name, $path := $found -}}
{{- if hasPrefix (printf "%s/" $sockets) (printf "%s/" $path) }}{{ fail (printf "%s lies in the directory of the socket, which workloads mount" $path) }}{{ end -}}
{{- if has (index (splitList "/" $path) 1) (list "" "dev" "proc" "sys" "usr" "bin" "lib" "lib64" "sbin" "app") }}{{ fail (printf "%s cannot be a directory of the host: the container has its own there" $path) }}{{ end -}}
{{- if hasPrefix (printf "%s/" $data) (printf "%s/" $path) }}{{ $_ := unset $found $name }}{{ end -}}
{{- end -}}
{{- $found | toYaml -}}
{{- end }}

{{- define "icp-agent.kubeletCa" -}}
{{- if and .Values.kubelet.ca .Values.kubelet.caHostPath }}{{ fail "kubelet.ca and kubelet.caHostPath are both given: one of them says whom to trust" }}{{ end -}}
{{- if .Values.kubelet.ca }}/etc/icp-agent/kubelet-ca.pem{{ else if .Values.kubelet.caHostPath }}/var/run/secrets/icp-agent-kubelet/ca.pem{{ end -}}
{{- end }}

{{- define "icp-agent.kubeletCaOfHost" -}}
{{- if and (eq .Values.agent.podSource "kubelet") .Values.kubelet.caHostPath }}true{{ end -}}
{{- end }}

{{/* Kubelets check the finer rights (nodes/pods) by default from 1.33 on. */}}
{{- define "icp-agent.kubeletRight" -}}
{{- if .Values.kubelet.right }}{{ .Values.kubelet.right }}{{ else if semverCompare ">=1.33.0-0" .Capabilities.KubeVersion.Version }}nodes/pods{{ else }}nodes/proxy{{ end -}}
{{- end }}

{{/* The agent's configuration file; the agent replaces ${NODE_NAME} and ${HOST_IP}. */}}
{{- define "icp-agent.config" -}}
{{- $config := dict
  "agent" (dict
    "tenant_id" (include "icp-agent.tenantId" .)
    "node_id" "${NODE_NAME}"
    "data_dir" .Values.agent.dataDir
    "socket_path" (trimPrefix "unix://" .Values.agent.socketPath)
    "renewal_threshold" .Values.agent.renewalThreshold)
  "icp_service" (dict
    "address" (include "icp-agent.address" .)
    "timeout" .Values.icpService.timeout
    "max_retries" .Values.icpService.maxRetries
    "retry_backoff" .Values.icpService.retryBackoff)
  "attestation" (dict
    "type" "kubernetes"
    "kubernetes" (dict
      "token_path" "/var/run/secrets/icp-agent/token"
      "cluster_name" (include "icp-agent.clusterName" .)
      "node_name" "${NODE_NAME}"
      "source" .Values.agent.podSource
      "authsec_namespaces" .Values.agent.authsecNamespaces))
  "logging" (dict "level" (include "icp-agent.logLevel" .) "format" .Values.logging.format)
  "sds" (dict
    "enabled" .Values.sds.enabled
    "disable_spiffe_cert_validation" .Values.sds.disableSpiffeCertValidation)
  "health" (dict
    "enabled" (eq (include "icp-agent.healthEnabled" .) "true")
    "port" (include "icp-agent.healthPort" . | int)
    "bind_address" "0.0.0.0"
    "tls" .Values.healthProbe.tls
    "wait_for_kubernetes" true) -}}
{{- with .Values.sds.defaultSvidName }}{{ $_ := set $config.sds "default_svid_name" . }}{{ end }}
{{- with .Values.sds.defaultBundleName }}{{ $_ := set $config.sds "default_bundle_name" . }}{{ end }}
{{- with .Values.sds.defaultAllBundlesName }}{{ $_ := set $config.sds "default_all_bundles_name" . }}{{ end }}
{{- with .Values.audit.path }}{{ $_ := set $config "audit" (dict "path" . "fail_closed" $.Values.audit.failClosed) }}{{ end }}
{{- with .Values.outputs.bundleDir }}{{ $_ := set $config "outputs" (dict "bundle_dir" . "formats" $.Values.outputs.formats) }}{{ end }}
{{- if .Values.metrics.bearerTokenSecret.name }}{{ $_ := set $config "metrics" (dict "bearer_token_path" "/var/run/secrets/icp-agent-metrics/token") }}{{ end }}
{{- if eq .Values.healthProbe.tls "files" }}
{{- if not .Values.healthProbe.tlsSecret }}{{ fail "healthProbe.tlsSecret is missing: name a Secret with tls.crt and tls.key, which healthProbe.tls: files wants" }}{{ end }}
{{- $_ := set $config.health "tls_cert_path" "/var/run/secrets/icp-agent-health/tls.crt" }}
{{- $_ := set $config.health "tls_key_path" "/var/run/secrets/icp-agent-health/tls.key" }}
{{- end -}}
{{- if eq .Values.agent.podSource "kubelet" }}
{{- $_ := set $config.attestation.kubernetes "kubelet_address" (.Values.kubelet.address | default "https://${HOST_IP}:10250") }}
{{- with (include "icp-agent.kubeletCa" .) }}{{ $_ := set $config.attestation.kubernetes "kubelet_ca_path" . }}{{ end }}
{{- end -}}
{{- if .Values.icpService.trustBundle }}{{ $_ := set $config.icp_service "trust_bundle_path" "/etc/icp-agent/trust-bundle.pem" }}{{ end -}}
{{- if .Values.joinTokens.existingSecret }}{{ $_ := set $config.agent "join_token_path" "/var/run/secrets/icp-agent-join-tokens/${NODE_NAME}" }}{{ end -}}
{{- mergeOverwrite $config (deepCopy .Values.agent.extraConfig) | toYaml }}
{{- end }}
