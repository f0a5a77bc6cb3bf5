import { dirname, resolve } from 'node:path'
import { fullPace, LIMITS, REQUESTS_OF_A_BUNDLE_POLL, ROUTINE_TAKES_ONE_OF, SHORTEST } from '../icp/limits.js'
import type { Files } from '../ports/files.js'
import { checkAppendedFiles } from './appended-files.js'
import type { Environment } from './placeholders.js'
import { type Problem, quote } from './problem.js'
import type { SettingKey } from './schema.js'
import { NODE_ID_REMEDY, nodeId, TENANT_REMEDY } from './settings/agent.js'
import { checkTrustBundle } from './trust-bundle-file.js'
import type { Understood } from './values.js'

/** The agent's surroundings that the checks need. */
export interface CheckContext {
  /** Of the configuration file. */
  readonly path: string
  readonly env: Environment
  readonly hostname: string
  readonly insideContainer: boolean
  readonly files: Pick<Files, 'read'>
}

export interface Findings {
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

/** Checks beyond a single value: required settings, and settings that contradict each other or the machine. */
export async function check(understood: Understood, context: CheckContext): Promise<Findings> {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const { values, isSet, sourceOf } = understood
  const at = (key: SettingKey, problem: string, remedy: string): Problem => ({
    key,
    source: sourceOf(key),
    problem,
    remedy,
  })

  if (!isSet('agent.tenant_id')) problems.push(at('agent.tenant_id', 'is required', TENANT_REMEDY))
  if (!isSet('agent.node_id')) {
    const { problem, warning } = nodeIdFromHost(context)
    if (problem !== undefined) problems.push(at('agent.node_id', ...problem))
    if (warning !== undefined) warnings.push(at('agent.node_id', ...warning))
  }

  const hasToken = isSet('agent.join_token') || isSet('agent.join_token_path')
  if (isSet('agent.join_token') && isSet('agent.join_token_path')) {
    const where = `agent.join_token_path (${sourceOf('agent.join_token_path')})`
    problems.push(
      at('agent.join_token', `is given besides ${where}`, 'keep one; only the file can be renewed without a restart'),
    )
  }
  if (values['attestation.type'] === 'join_token' && !hasToken) {
    problems.push(
      at('attestation.type', 'is join_token, but there is none', 'set agent.join_token_path or agent.join_token'),
    )
  }

  const tlsFiles = (['health.tls_cert_path', 'health.tls_key_path'] as const).filter((key) => !isSet(key))
  if (values['health.tls'] === 'files') {
    for (const key of tlsFiles) problems.push(at(key, 'is required with health.tls: files', 'name the PEM file'))
  } else if (tlsFiles.length < 2) {
    warnings.push(at('health.tls', 'does not use the files that are named', 'set health.tls to files'))
  }
  const address = values['health.bind_address']
  if (
    isSet('metrics.bearer_token_path') &&
    values['health.tls'] === 'off' &&
    address !== '::1' &&
    !address.startsWith('127.')
  ) {
    const remedy = 'set health.tls, or health.bind_address to 127.0.0.1'
    warnings.push(at('metrics.bearer_token_path', `is asked for in clear text at ${address}`, remedy))
  }

  const sdsNames = ['sds.default_svid_name', 'sds.default_bundle_name', 'sds.default_all_bundles_name'] as const
  for (const [i, key] of sdsNames.entries()) {
    const same = sdsNames.slice(0, i).find((other) => values[other] === values[key])
    if (same) problems.push(at(key, `is the same name as ${same}`, 'give each of them a name of its own'))
  }

  const { 'sync.interval': interval, 'sync.max_interval': maxInterval } = values
  if (maxInterval < interval) {
    problems.push(
      at(
        isSet('sync.max_interval') ? 'sync.max_interval' : 'sync.interval',
        'leaves sync.max_interval below sync.interval',
        'make sync.max_interval the longer one',
      ),
    )
  }
  for (const [key, shortest, arithmetic] of ROUTINES) {
    if (values[key] >= shortest) continue
    const [given, least] = [seconds(values[key]), seconds(shortest)]
    warnings.push(
      at(
        key,
        `is ${given}, but the agent reads no more often than every ${least}: ${arithmetic}`,
        `use ${least} or more`,
      ),
    )
  }
  const limits = ['connections_per_pid', 'connections_per_subject', 'connections'] as const
  for (const [i, name] of limits.slice(0, -1).entries()) {
    const wider = limits[i + 1] ?? 'connections'
    if (values[`workload_api.limits.${name}`] > values[`workload_api.limits.${wider}`]) {
      warnings.push(
        at(
          `workload_api.limits.${name}`,
          `is above workload_api.limits.${wider}, which is reached first`,
          'lower it, or raise the other',
        ),
      )
    }
  }
  if (`${dirname(values['agent.socket_path'])}/`.startsWith(`${values['agent.data_dir']}/`)) {
    warnings.push(
      at(
        'agent.socket_path',
        'lies in agent.data_dir: either other users may enter that, or they do not reach the socket',
        'put the socket into a directory of its own',
      ),
    )
  }

  const adminSocket = values['agent.admin_socket_path']
  if (adminSocket !== null && `${adminSocket}/`.startsWith(`${dirname(values['agent.socket_path'])}/`)) {
    problems.push(
      at(
        'agent.admin_socket_path',
        'lies in the directory of agent.socket_path, which workloads mount',
        'leave it out, or use a path in a directory of its own',
      ),
    )
  }

  const bundleDir = values['outputs.bundle_dir']
  if (bundleDir !== null && [dirname(values['agent.socket_path']), values['agent.data_dir']].includes(bundleDir)) {
    const remedy = 'use a directory of its own, which the verifying programs may read'
    problems.push(at('outputs.bundle_dir', 'is the directory of the socket or of the data', remedy))
  }

  problems.push(...checkAppendedFiles(understood, resolve(context.path)))

  const trustBundle = values['icp_service.trust_bundle_path']
  if (trustBundle !== null) {
    const found = await checkTrustBundle(trustBundle, sourceOf('icp_service.trust_bundle_path'), context.files)
    if (found !== null) (found.level === 'problem' ? problems : warnings).push(found.finding)
  }
  return { problems, warnings }
}

const [PACE, PACE_OF_ALL] = [fullPace('standard'), fullPace('service')]
/** Settings of poll intervals, the shortest interval that takes effect, and why. */
const ROUTINES = [
  [
    'sync.interval',
    SHORTEST.sync,
    `of the ${PACE} requests a minute that the agent sends (the server allows ${LIMITS.standard.perMinute} per address), entry syncs may use a third, which is ${PACE / ROUTINE_TAKES_ONE_OF} a minute`,
  ],
  [
    'sync.bundle_interval',
    SHORTEST.bundlePoll,
    `of the ${PACE_OF_ALL} requests of all kinds that the agent sends a minute, bundle polls may use a third, which is ${PACE_OF_ALL / ROUTINE_TAKES_ONE_OF} a minute, and each poll takes ${REQUESTS_OF_A_BUNDLE_POLL}`,
  ],
] as const

function seconds(ms: number): string {
  return ms < 1000 ? `${ms}ms` : `${Math.ceil(ms / 100) / 10}s`
}

/** Whether the host name can be the node id. */
function nodeIdFromHost({ hostname, insideContainer }: CheckContext): {
  problem?: readonly [problem: string, remedy: string]
  warning?: readonly [problem: string, remedy: string]
} {
  const remedy = 'set agent.node_id, or ICP_AGENT_AGENT__NODE_ID, to a name of this node that is unique and lasts'
  if (insideContainer) {
    return { problem: ['is required: a container that is created again has another host name', remedy] }
  }
  if (!nodeId.safeParse(hostname).success) {
    return {
      problem: [`is required: the host name ${quote(hostname)} is not a valid node id`, `${remedy}: ${NODE_ID_REMEDY}`],
    }
  }
  if (/^localhost(?:\.|$)/i.test(hostname)) {
    return { warning: [`is the host name ${quote(hostname)}, which many machines share`, remedy] }
  }
  return {}
}
