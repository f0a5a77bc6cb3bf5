import { join } from 'node:path'
import type { Config } from './config.js'
import { type EffectiveSettings, type EffectiveValues, valuesOf } from './effective.js'
import type { Environment } from './placeholders.js'
import { NO_PROXY_ADDRESS } from './proxy-address.js'

/** The configuration from settings that have been checked. */
export function assemble(settings: EffectiveSettings, env: Environment): Config {
  const values = valuesOf(settings)
  return {
    agent: {
      tenantId: values['agent.tenant_id'] ?? '',
      nodeId: values['agent.node_id'],
      dataDir: values['agent.data_dir'],
      socketPath: values['agent.socket_path'],
      adminSocketPath: values['agent.admin_socket_path'] ?? join(values['agent.data_dir'], 'admin.sock'),
      renewalThresholdMs: values['agent.renewal_threshold'],
      renewalThresholdExplicit: settings['agent.renewal_threshold'].source !== 'default',
      joinToken: values['agent.join_token'],
      joinTokenPath: values['agent.join_token_path'],
      watchConfig: values['agent.watch_config'],
    },
    icpService: {
      address: values['icp_service.address'],
      trustBundlePath: values['icp_service.trust_bundle_path'],
      csrCommonName: values['icp_service.csr_common_name'],
      timeoutMs: values['icp_service.timeout'],
      maxRetries: values['icp_service.max_retries'],
      retryBackoffMs: values['icp_service.retry_backoff'],
      traceparent: values['icp_service.traceparent'],
      proxy: proxyOf(values),
    },
    attestation: {
      type: values['attestation.type'],
      kubernetes: {
        tokenPath: values['attestation.kubernetes.token_path'],
        clusterName: values['attestation.kubernetes.cluster_name'],
        apiTokenPath: values['attestation.kubernetes.api_token_path'],
        apiCaPath: values['attestation.kubernetes.api_ca_path'],
        authsecNamespaces: values['attestation.kubernetes.authsec_namespaces'],
        source: values['attestation.kubernetes.source'],
        nodeName: values['attestation.kubernetes.node_name'],
        containerWaitMs: values['attestation.kubernetes.container_wait'],
        ownPod: ownPod(env),
        kubeletAddress: values['attestation.kubernetes.kubelet_address'],
        kubeletCaPath: values['attestation.kubernetes.kubelet_ca_path'],
      },
      docker: {
        socketPath: values['attestation.docker.socket_path'],
        authsecLabels: values['attestation.docker.authsec_labels'],
        imageLabels: values['attestation.docker.image_labels'],
      },
      unix: {
        method: values['attestation.unix.method'],
        forgeable: values['attestation.unix.forgeable'],
        maxExecutableBytes: values['attestation.unix.max_executable_size'],
      },
    },
    security: {
      cacheEncryptionKey: values['security.cache_encryption_key'],
      cacheEncryptionKeyPrevious: values['security.cache_encryption_key_previous'],
      cachePath: values['security.cache_path'],
      revokeRemoved: values['security.revoke_removed'],
    },
    workloadApi: {
      maxIdentities: values['workload_api.max_identities'],
      allowUnauthenticatedVerifiers: values['workload_api.allow_unauthenticated_verifiers'],
      holdMs: values['workload_api.hold'],
      limits: {
        connections: values['workload_api.limits.connections'],
        connectionsPerSubject: values['workload_api.limits.connections_per_subject'],
        connectionsPerPid: values['workload_api.limits.connections_per_pid'],
        rates: {
          connections: {
            perSecond: values['workload_api.limits.connections_per_second'],
            burst: values['workload_api.limits.connection_burst'],
          },
          calls: {
            perSecond: values['workload_api.limits.calls_per_second'],
            burst: values['workload_api.limits.call_burst'],
          },
        },
        streamsPerConnection: values['workload_api.limits.streams_per_connection'],
        maxMessageBytes: values['workload_api.limits.max_message_size'],
        idleConnectionMs: values['workload_api.limits.idle_connection'],
        stalledStreamMs: values['workload_api.limits.stalled_stream'],
      },
    },
    sds: {
      enabled: values['sds.enabled'],
      names: {
        svid: values['sds.default_svid_name'],
        bundle: values['sds.default_bundle_name'],
        allBundles: values['sds.default_all_bundles_name'],
      },
      disableSpiffeCertValidation: values['sds.disable_spiffe_cert_validation'],
    },
    jwt: { validation: values['jwt.validation'] },
    sync: {
      intervalMs: values['sync.interval'],
      maxIntervalMs: values['sync.max_interval'],
      bundleIntervalMs: values['sync.bundle_interval'],
    },
    logging: {
      level: values['logging.level'],
      format: values['logging.format'],
      filePath: values['logging.file_path'],
    },
    audit: { path: values['audit.path'], failClosed: values['audit.fail_closed'] },
    health: {
      enabled: values['health.enabled'],
      port: values['health.port'],
      bindAddress: values['health.bind_address'],
      waitForKubernetes: values['health.wait_for_kubernetes'],
      tls: values['health.tls'],
      tlsCertPath: values['health.tls_cert_path'],
      tlsKeyPath: values['health.tls_key_path'],
    },
    outputs: { bundleDir: values['outputs.bundle_dir'], formats: values['outputs.formats'] },
    metrics: {
      spiffeIdLabels: values['metrics.spiffe_id_labels'],
      bearerTokenPath: values['metrics.bearer_token_path'],
    },
  }
}

function proxyOf(values: EffectiveValues): Config['icpService']['proxy'] {
  const proxy = values['icp_service.proxy']
  const none = proxy?.reveal() === NO_PROXY_ADDRESS
  return { httpsProxy: none ? null : proxy, noProxy: values['icp_service.no_proxy'] }
}

/** As the downward API tells it (`metadata.namespace`, `metadata.name`). */
function ownPod(env: Environment): Config['attestation']['kubernetes']['ownPod'] {
  const namespace = env['POD_NAMESPACE']?.trim()
  const name = env['POD_NAME']?.trim()
  return namespace && name ? { namespace, name } : null
}
