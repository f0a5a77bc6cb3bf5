import { readFileSync } from 'node:fs'
import type { AdminClient } from '../../admin/client.js'
import { bundles } from '../../admin/routes/bundles.js'
import { config } from '../../admin/routes/config.js'
import { denial } from '../../admin/routes/denial.js'
import { denials } from '../../admin/routes/denials.js'
import { entries } from '../../admin/routes/entries.js'
import { logs } from '../../admin/routes/logs.js'
import { metrics } from '../../admin/routes/metrics.js'
import { status } from '../../admin/routes/status.js'
import { workloads } from '../../admin/routes/workloads.js'
import type { EffectiveSettings } from '../../config/effective.js'
import { messageOf } from '../../errors.js'
import { iso } from '../../lib/time.js'
import { describeNode } from '../../platform/node-description.js'
import type { Clock } from '../../ports/clock.js'
import { settingsDocument } from '../settings-document.js'
import { agentVersion } from '../version.js'

/** Denials that are included with their explanation. */
const EXPLAINED = 20

/** The sources of a bundle's parts. */
export interface BundleSources {
  /** Rejects if the configuration cannot be used. */
  readonly settings: () => Promise<EffectiveSettings>
  /** Values of settings, also of a configuration that cannot be used. */
  readonly values: () => Promise<readonly unknown[]>
  /** Rejects if the agent's socket is not known. */
  readonly client: () => Promise<AdminClient>
  readonly clock: Pick<Clock, 'now' | 'after'>
  readonly signal: AbortSignal
}

/** One file of a bundle. */
export interface BundlePart {
  readonly name: string
  /** Its description, for the list that is shown before writing. */
  readonly summary: string
  /** A text, or a value for JSON. Rejects if there is none. */
  read(sources: BundleSources): Promise<string | object>
}

export const PARTS: readonly BundlePart[] = [
  { name: 'versions.json', summary: 'versions of the command, Node and OpenSSL', read: async () => versions() },
  { name: 'machine.json', summary: 'kernel, distribution, control groups, memory, limits', read: machine },
  {
    name: 'config.json',
    summary: 'every setting with its source, secrets redacted',
    read: async ({ settings }) => settingsDocument(await settings()),
  },
  {
    name: 'config-in-force.json',
    summary: 'the settings that the running agent uses, secrets redacted',
    read: async ({ client, signal }) => (await client()).get(config.schema, config.path, signal),
  },
  {
    name: 'status.json',
    summary: 'health, server, own SVID, platforms, audit log, telemetry, last reload, what changed last',
    read: async ({ client, signal }) => (await client()).get(status.schema, status.path, signal),
  },
  {
    name: 'workloads.json',
    summary: 'processes that are connected, with selectors and SPIFFE IDs',
    read: async ({ client, signal }) => (await client()).list(workloads, signal),
  },
  {
    name: 'entries.json',
    summary: 'registration entries of this node and their states',
    read: async ({ client, signal }) => (await client()).list(entries, signal),
  },
  {
    name: 'denials.json',
    summary: `the last denials, ${EXPLAINED} of them with their explanation`,
    read: explainedDenials,
  },
  {
    name: 'bundles.json',
    summary: 'fingerprints and times of what workloads trust',
    read: async ({ client, signal }) => (await client()).list(bundles, signal),
  },
  {
    name: 'metrics.txt',
    summary: 'metrics, in the text format of Prometheus',
    read: async ({ client, signal }) => (await (await client()).get(metrics.schema, metrics.path, signal)).text,
  },
  { name: 'log.jsonl', summary: 'the last 256 KiB of log lines', read: lastLines },
]

function versions(): object {
  const { version, arch, platform, versions: parts } = process
  return {
    icp_agent: agentVersion(),
    node: version,
    openssl: parts.openssl,
    v8: parts.v8,
    uv: parts.uv,
    arch,
    platform,
  }
}

async function machine({ clock }: BundleSources): Promise<object> {
  const { hostname, os, kernel, arch, cpus, memoryBytes } = await describeNode(clock)
  return {
    hostname,
    os,
    kernel,
    arch,
    cpus,
    memory_bytes: memoryBytes,
    time: iso(clock.now()),
    kernel_version: textAt('/proc/version'),
    uptime: textAt('/proc/uptime'),
    load: textAt('/proc/loadavg'),
    security_modules: textAt('/sys/kernel/security/lsm'),
    cgroup_v2_controllers: textAt('/sys/fs/cgroup/cgroup.controllers'),
    own_cgroup: textAt('/proc/self/cgroup'),
    limits: textAt('/proc/self/limits'),
    user_namespaces: textAt('/proc/self/uid_map'),
  }
}

/** A short file of the kernel, or why it cannot be read. */
function textAt(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, 8192).trim()
  } catch (error) {
    return `(${messageOf(error)})`
  }
}

async function explainedDenials({ client, signal }: BundleSources): Promise<object> {
  const agent = await client()
  const list = await agent.list(denials, signal)
  const explained: object[] = []
  for (const { id } of list.rows.slice(0, EXPLAINED)) {
    // A denial may have been evicted meanwhile.
    const one = await agent.get(denial.schema, `/v1/denials/${encodeURIComponent(id)}`, signal).catch(messageOf)
    explained.push(typeof one === 'string' ? { id, error: one } : one)
  }
  return { ...list, explained }
}

async function lastLines({ client, signal }: BundleSources): Promise<string> {
  const { lines } = await (await client()).get(logs.schema, logs.path, signal)
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}
