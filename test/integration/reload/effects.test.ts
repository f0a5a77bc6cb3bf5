import { existsSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js'
import { expect, test, vi } from 'vitest'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { callUnary, openStream, SECURITY_HEADER, SPIFFE } from '../../support/raw-stream.js'
import { eventually } from '../../support/until.js'
import { svidStream, uid } from '../resilience/support.js'
import { Sds } from '../workload-api/sds-client.js'
import { reloadable } from './support.js'

vi.setConfig({ testTimeout: 180_000 })

const OWN = { 'unix:uid': uid }
const FORGED = { 'unix:process': readFileSync('/proc/self/comm', 'utf8').trim() }
const web = (server: DevIcp, name = 'web', selectors: Readonly<Record<string, string>> = OWN) =>
  server.createEntry({ spiffeId: `spiffe://${TENANT}/${name}`, selectors })

/** A connection that says nothing; resolves when the agent has closed it. */
function silent({ socketPath }: RunningAgent): { readonly socket: Socket; readonly closed: Promise<void> } {
  const socket = connect(socketPath)
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()).on('error', () => undefined))
  socket.resume()
  return { socket, closed }
}

const bundles = (agent: RunningAgent) => {
  const stream = openStream(agent.address, `${SPIFFE}/FetchX509Bundles`, { metadata: SECURITY_HEADER })
  return {
    stream,
    next: () =>
      stream.next().then(
        () => 'bundles',
        ({ code }: { code: number }) => code,
      ),
  }
}

/** A stream of Envoy's for these names. */
const secrets = (agent: RunningAgent, ...resourceNames: string[]) => {
  const Client = makeGenericClientConstructor({}, 'sds')
  const client = new Client(agent.address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
  const sds = new Sds(client)
  sds.ask({ resourceNames })
  return Object.assign(sds, { [Symbol.dispose]: () => client.close() })
}

interface Case {
  /** Before. */
  readonly from?: Readonly<Record<string, object>>
  readonly to: Readonly<Record<string, object>>
  readonly entries?: readonly Readonly<Record<string, string>>[]
  /** Everything that happens; `reload` writes `to` and reloads. */
  readonly effect: (world: {
    readonly agent: RunningAgent
    readonly server: DevIcp
    readonly dir: string
    readonly metrics: { text(): Promise<string> }
    readonly reload: () => Promise<unknown>
  }) => Promise<void>
}

const CASES: Readonly<Record<string, Case>> = {
  'audit.path: records go on in another file': {
    from: { audit: {} },
    to: { audit: { path: 'FILE' } },
    effect: async ({ dir, reload }) => {
      const text = () => (existsSync(`${dir}/log/a.log`) ? readFileSync(`${dir}/log/a.log`, 'utf8') : '')
      await reload()
      await eventually(text, (told) => told.includes('"configuration_changed"'))
      expect(text()).toContain('"agent_started"')
    },
  },
  'sync.interval: a new entry is read within the new interval': {
    from: { sync: { interval: '1h', max_interval: '1h' } },
    to: { sync: { interval: '7s' } },
    effect: async ({ agent, server, reload }) => {
      await agent.logged('Agent startup completed successfully')
      await web(server)
      await reload()
      await eventually(
        async () => {
          using stream = svidStream(agent.address)
          return await stream.next().then(
            ({ ids }) => [...ids],
            (): string[] => [],
          )
        },
        (ids) => ids.includes(`spiffe://${TENANT}/web`),
      )
    },
  },
  'workload_api.max_identities: an open stream gets fewer': {
    from: { workload_api: { max_identities: 2 } },
    to: { workload_api: { max_identities: 1 } },
    entries: [OWN, { 'unix:gid': String(process.getgid?.()) }],
    effect: async ({ agent, reload }) => {
      using stream = svidStream(agent.address)
      await stream.until(({ ids }) => ids.length === 2)
      await reload()
      await stream.until(({ ids }) => ids.length === 1)
    },
  },
  'workload_api.allow_unauthenticated_verifiers: bundles without an identity, until it is turned off': {
    to: { workload_api: { allow_unauthenticated_verifiers: true } },
    effect: async ({ agent, reload }) => {
      await agent.logged('Agent startup completed successfully')
      const refused = bundles(agent)
      expect(await refused.next()).toBe(7)
      using waiting = secrets(agent, `spiffe://${TENANT}`)
      await agent.logged('Workload API call denied', ({ method }) => method === 'StreamSecrets')
      await reload()
      await waiting.response(1)
      const served = bundles(agent)
      expect(await served.next()).toBe('bundles')
      for (const { stream } of [refused, served]) stream[Symbol.dispose]()
    },
  },
  'workload_api.allow_unauthenticated_verifiers: turned off, it ends open streams': {
    from: { workload_api: { allow_unauthenticated_verifiers: true } },
    to: { workload_api: { allow_unauthenticated_verifiers: false } },
    effect: async ({ agent, reload }) => {
      await agent.logged('Agent startup completed successfully')
      const served = bundles(agent)
      expect(await served.next()).toBe('bundles')
      using sds = secrets(agent, 'ALL')
      await sds.response(1)
      await reload()
      expect(await served.next()).toBe(7)
      expect(await sds.ended()).toBe(7)
      served.stream[Symbol.dispose]()
    },
  },
  'workload_api.limits.connections_per_pid: one connection more is closed': {
    to: { workload_api: { limits: { connections_per_pid: 1 } } },
    effect: async ({ agent, reload }) => {
      const first = silent(agent)
      await new Promise((resolve) => first.socket.once('connect', resolve))
      await reload()
      const second = silent(agent)
      await second.closed
      expect(first.socket.closed).toBe(false)
      first.socket.destroy()
    },
  },
  'workload_api.limits.idle_connection: an idle connection is closed': {
    from: { workload_api: { limits: { idle_connection: '1d' } } },
    to: { workload_api: { limits: { idle_connection: '1s' } } },
    effect: async ({ agent, reload }) => {
      const { closed } = silent(agent)
      await reload()
      await closed
    },
  },
  'attestation.unix.forgeable: an entry matches by the name that a process gives itself': {
    to: { attestation: { unix: { forgeable: true } } },
    entries: [OWN, FORGED],
    effect: async ({ agent, reload }) => {
      using stream = svidStream(agent.address)
      await stream.until(({ ids }) => ids.length === 1)
      using same = secrets(agent, 'default', 'ROOTCA')
      using all = secrets(agent, '*')
      await same.response(1)
      expect((await all.response(1)).names).toHaveLength(2)
      await reload()
      await stream.until(({ ids }) => ids.length === 2)
      // To the stream of Envoy's that gains by it, and to no other: its next response is the answer to what it asks.
      expect((await all.response(2)).names).toHaveLength(3)
      same.ack(['default'])
      expect((await same.response(2)).names).toEqual(['default'])
    },
  },
  'attestation.unix.forgeable: turned off, the entry is withdrawn': {
    from: { attestation: { unix: { forgeable: true } } },
    to: { attestation: { unix: { forgeable: false } } },
    entries: [OWN, FORGED],
    effect: async ({ agent, reload }) => {
      using stream = svidStream(agent.address)
      await stream.until(({ ids }) => ids.length === 2)
      await reload()
      await stream.until(({ ids }) => ids.length === 1)
    },
  },
  'security.revoke_removed: the SVID of a removed entry is revoked': {
    to: { security: { revoke_removed: true } },
    entries: [OWN],
    effect: async ({ agent, server, metrics, reload }) => {
      using stream = svidStream(agent.address)
      await stream.next()
      await reload()
      const [entry] = server.entries
      await server.deleteEntry(entry?.id ?? '')
      await eventually(
        () => metrics.text(),
        (text) => /^icp_agent_revocations_total\{outcome="revoked"\} 1$/m.test(text),
      )
    },
  },
  'jwt.validation: tokens are validated by the server': {
    from: { jwt: { validation: 'local' } },
    to: { jwt: { validation: 'server' } },
    entries: [OWN],
    effect: async ({ agent, metrics, reload }) => {
      using stream = svidStream(agent.address)
      await stream.next()
      await reload()
      const token = ['{"alg":"ES256"}', `{"sub":"spiffe://${TENANT}/x","aud":["a"],"exp":9999999999}`, 'x']
        .map((part) => Buffer.from(part).toString('base64url'))
        .join('.')
      const text = (field: number, value: string) => [field * 8 + 2, value.length, ...Buffer.from(value)]
      const long = Buffer.from(token)
      const request = Buffer.from([...text(1, 'a'), 18, (long.length & 127) | 128, long.length >> 7, ...long])
      const call = callUnary(agent.address, `${SPIFFE}/ValidateJWTSVID`, { metadata: SECURITY_HEADER, request })
      await expect(call).rejects.toThrow()
      expect(await metrics.text()).toMatch(/^icp_agent_server_requests_total\{endpoint="validate_jwt",.*\} [1-9]/m)
    },
  },
  'logging.file_path: lines go to the new file': {
    to: { logging: { file_path: 'FILE' } },
    effect: async ({ dir, agent, reload }) => {
      await reload()
      await agent.logged('Configuration reloaded')
      await eventually(
        () => (existsSync(`${dir}/log/a.log`) ? readFileSync(`${dir}/log/a.log`, 'utf8') : ''),
        (text) => text.includes('Configuration reloaded'),
      )
    },
  },
  'logging.level: less is written': {
    to: { logging: { level: 'error' } },
    effect: async ({ agent, reload }) => {
      await reload()
      expect(agent.lines.some(({ event }) => event === 'Configuration reloaded')).toBe(false)
    },
  },
  'outputs.bundle_dir: bundles are written there': {
    to: { outputs: { bundle_dir: 'DIR', formats: ['jwks'] } },
    effect: async ({ dir, reload }) => {
      await reload()
      await eventually(() => existsSync(`${dir}/bundles/${TENANT}.jwks.json`), Boolean)
    },
  },
  'metrics.spiffe_id_labels: SVIDs are named': {
    to: { metrics: { spiffe_id_labels: true } },
    entries: [OWN],
    effect: async ({ agent, metrics, reload }) => {
      using stream = svidStream(agent.address)
      await stream.next()
      expect(await metrics.text()).not.toContain(`spiffe_id="spiffe://${TENANT}`)
      await reload()
      expect(await metrics.text()).toContain(`spiffe_id="spiffe://${TENANT}`)
    },
  },
}

test.each(Object.entries(CASES))('%s', async (_name, { from = {}, to, entries = [], effect }) => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  for (const [i, selectors] of entries.entries()) await web(server, `web-${i}`, selectors)
  const world = await reloadable(dir.path, server)
  await using agent = await world.start(from)
  const placed = JSON.parse(
    JSON.stringify(to).replace('"FILE"', `"${dir.path}/log/a.log"`).replace('"DIR"', `"${dir.path}/bundles"`),
  )
  await effect({
    agent,
    server,
    dir: dir.path,
    metrics: world.metrics,
    reload: async () => {
      await world.write(placed)
      const answer = await world.reload(agent)
      expect(answer).toMatchObject({ ok: true, problems: [], needs_restart: [] })
      expect(answer.changed.length).toBeGreaterThan(0)
    },
  })
})
