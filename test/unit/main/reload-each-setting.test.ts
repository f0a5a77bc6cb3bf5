import { describe, expect, test } from 'vitest'
import { SETTING_KEYS, SETTINGS, type SettingKey } from '../../../agent/config/schema.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { LiveConfig } from '../../../agent/main/live-config.js'
import { Reload } from '../../../agent/main/reload.js'
import { reloadEvents } from '../../../agent/observability/reload-events.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { KEY, load, TENANT } from '../config/given.js'

/** Another value than the default. A new setting gets its row here. */
const OTHER: Readonly<Record<SettingKey, string>> = {
  'agent.tenant_id': TENANT.replace('1', '2'),
  'agent.node_id': 'another',
  'agent.data_dir': '/srv/icp-agent',
  'agent.socket_path': '/run/other/agent.sock',
  'agent.admin_socket_path': '/run/admin/admin.sock',
  'agent.renewal_threshold': '1h',
  'agent.join_token': 'a-token',
  'agent.join_token_path': '/srv/token',
  'agent.watch_config': 'true',
  'icp_service.address': 'https://icp.example/spiresvc',
  'icp_service.trust_bundle_path': '/srv/ca.pem',
  'icp_service.csr_common_name': 'empty',
  'icp_service.timeout': '31s',
  'icp_service.max_retries': '4',
  'icp_service.retry_backoff': '6s',
  'icp_service.proxy': 'http://proxy:3128',
  'icp_service.no_proxy': 'icp.example',
  'icp_service.traceparent': 'true',
  'attestation.type': 'unix',
  'attestation.kubernetes.token_path': '/srv/psat',
  'attestation.kubernetes.cluster_name': 'east',
  'attestation.kubernetes.api_token_path': '/srv/api-token',
  'attestation.kubernetes.api_ca_path': '/srv/api-ca',
  'attestation.kubernetes.authsec_namespaces': 'agents',
  'attestation.kubernetes.source': 'kubelet',
  'attestation.kubernetes.node_name': 'vm-7',
  'attestation.kubernetes.kubelet_address': 'https://10.0.0.7:10250',
  'attestation.kubernetes.kubelet_ca_path': '/srv/kubelet-ca',
  'attestation.kubernetes.container_wait': '7s',
  'attestation.docker.socket_path': '/run/podman/podman.sock',
  'attestation.docker.authsec_labels': 'true',
  'attestation.docker.image_labels': 'merged',
  'attestation.unix.method': 'systemd',
  'attestation.unix.forgeable': 'true',
  'attestation.unix.max_executable_size': '1MiB',
  'security.cache_encryption_key': KEY,
  'security.cache_encryption_key_previous': KEY,
  'security.cache_path': '/srv/cache',
  'security.revoke_removed': 'true',
  'workload_api.max_identities': '63',
  'workload_api.hold': '5s',
  'workload_api.allow_unauthenticated_verifiers': 'true',
  'workload_api.limits.connections': '4095',
  'workload_api.limits.connections_per_subject': '511',
  'workload_api.limits.connections_per_pid': '63',
  'workload_api.limits.connections_per_second': '49',
  'workload_api.limits.connection_burst': '999',
  'workload_api.limits.calls_per_second': '249',
  'workload_api.limits.call_burst': '1999',
  'workload_api.limits.streams_per_connection': '99',
  'workload_api.limits.max_message_size': '32KiB',
  'workload_api.limits.idle_connection': '61s',
  'workload_api.limits.stalled_stream': '31s',
  'jwt.validation': 'server',
  'sds.enabled': 'false',
  'sds.default_svid_name': 'mine',
  'sds.default_bundle_name': 'trust',
  'sds.default_all_bundles_name': 'everybody',
  'sds.disable_spiffe_cert_validation': 'true',
  'sync.interval': '29s',
  'sync.max_interval': '9m',
  'sync.bundle_interval': '4m',
  'logging.level': 'debug',
  'logging.format': 'console',
  'logging.file_path': '/srv/agent.log',
  'audit.path': '/dev/log',
  'audit.fail_closed': 'true',
  'health.enabled': 'false',
  'health.port': '8081',
  'health.bind_address': '127.0.0.2',
  'health.wait_for_kubernetes': 'true',
  'health.tls': 'svid',
  'health.tls_cert_path': '/srv/cert.pem',
  'health.tls_key_path': '/srv/key.pem',
  'outputs.bundle_dir': '/srv/bundles',
  'outputs.formats': 'jwks',
  'metrics.spiffe_id_labels': 'true',
  'metrics.bearer_token_path': '/srv/metrics-token',
}

/** What the default of a setting hides: without it the other value would change nothing. */
const BESIDE: Partial<Record<SettingKey, Readonly<Record<string, string>>>> = {
  // It exempts from a proxy.
  'icp_service.no_proxy': { ICP_AGENT_ICP_SERVICE__PROXY: 'http://proxy:3128' },
}

const variable = (key: SettingKey) => `ICP_AGENT_${key.toUpperCase().replaceAll('.', '__')}`
const configured = (env: Readonly<Record<string, string>>) =>
  load({ file: '', env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, ...env } })

/** All that a configuration says, secrets too. */
function told(value: unknown): unknown {
  if (value instanceof Secret) return { secret: told(value.reveal()) }
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(told)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, told(one)]))
}

async function reloaded(key: SettingKey) {
  const beside = BESIDE[key] ?? {}
  const before = await configured(beside)
  const after = await configured({ ...beside, [variable(key)]: OTHER[key] })
  const live = new LiveConfig(before.config)
  const section = live.config
  const clock = new FakeClock()
  const seen: SettingKey[] = []
  using _ = live.subscribe((changed) => seen.push(...changed))
  const reload = new Reload({
    source: { path: null, env: {}, settings: before.settings, reread: async () => after },
    ...{ live, parts: [], clock, signal: new AbortController().signal },
    events: reloadEvents(new RecordedSinks(), clock),
    serviceManager: { reloading: () => undefined, ready: () => undefined },
  })
  const report = await reload.run('reload')
  return { report, seen, before: told(before.config), after: told(after.config), inForce: told(section) }
}

const keysOf = (changes: readonly { readonly key: SettingKey }[]) => changes.map(({ key }) => key)
const settingsThat = (what: 'live' | 'restart') => SETTING_KEYS.filter((key) => SETTINGS[key].reload === what)

describe('a live setting is in force after a reload, where it is read and for whoever subscribes', () => {
  test.each(settingsThat('live'))('%s', async (key) => {
    const { report, seen, before, after, inForce } = await reloaded(key)
    expect(report).toMatchObject({ ok: true, needsRestart: [] })
    // Others may follow it: kubelet_ca_path is that of the API where nobody writes it.
    expect(keysOf(report.changed)).toContain(key)
    expect(seen).toEqual(keysOf(report.changed))
    expect(inForce).toEqual(after)
    expect(inForce).not.toEqual(before)
  })
})

describe('a setting that waits for a restart is what it was, and is named', () => {
  test.each(settingsThat('restart'))('%s', async (key) => {
    const { report, seen, before, after, inForce } = await reloaded(key)
    expect(report.ok).toBe(true)
    expect(keysOf(report.needsRestart)).toContain(key)
    expect([report.changed, seen]).toEqual([[], []])
    expect(inForce).toEqual(before)
    expect(after).not.toEqual(before)
  })
})
