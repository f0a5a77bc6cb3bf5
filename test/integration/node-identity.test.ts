import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tlsIdentity } from '../../agent/agent-svid/agent-svid.js'
import { createAgentSvidKeeper } from '../../agent/agent-svid/create-keeper.js'
import type { AgentSvidKeeper } from '../../agent/agent-svid/run.js'
import { Secret } from '../../agent/crypto/secret.js'
import { createIcpClient } from '../../agent/icp/client.js'
import { createCommonName } from '../../agent/icp/common-name.js'
import { RateLimiter } from '../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../agent/icp/server-reachability.js'
import { fileEvents } from '../../agent/observability/file-events.js'
import { nodeEvents } from '../../agent/observability/node-events.js'
import { serverEvents } from '../../agent/observability/server-events.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { createHttpClient } from '../../agent/platform/undici-http.js'
import { dockerNodeAttestor } from '../../attestors/docker/node.js'
import { joinTokenNodeAttestor } from '../../attestors/join-token/node.js'
import { kubernetesNodeAttestor } from '../../attestors/kubernetes/node.js'
import { unixNodeAttestor } from '../../attestors/unix/node.js'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import type { Flaw } from '../../dev/icp-server/flaws.js'
import type { DevIcpOptions } from '../../dev/icp-server/options.js'
import type { TemporaryFiles } from '../fakes/files.js'
import { FixedKeys } from '../fakes/keys.js'
import { seededRandom } from '../fakes/random.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { openDevIcp } from './support/dev-icp.js'

const never = () => new AbortController().signal

/** An agent's identity on a real disk, over real HTTPS; each call is a start of the process. */
async function node(icp: DevIcp, files: TemporaryFiles): Promise<AsyncDisposable & Node> {
  const clock = new SystemClock()
  const random = seededRandom()
  const sinks = new RecordedSinks()
  let keeper: AgentSvidKeeper | null = null
  const http = createHttpClient({
    tls: () => {
      const identity = keeper?.current()
      return { ca: [icp.caPem], ...(identity ? { identity: tlsIdentity(identity) } : {}) }
    },
  })
  const settings = { address: icp.address, timeoutMs: 60_000, maxRetries: 0, retryBackoffMs: 10 }
  const { tenantId } = icp
  const nodeId = 'node-1'
  const limiter = new RateLimiter(clock, random)
  const client = createIcpClient({
    settings,
    tenantId,
    nodeId,
    http,
    limiter,
    reachability: new ServerReachability(clock),
    clock,
    random,
    events: serverEvents(new RecordedSinks(), clock),
  })
  const machine = { pid: process.pid, username: 'agent', hostname: nodeId }
  keeper = createAgentSvidKeeper({
    clock,
    random,
    files,
    control: client,
    skew: client.skew,
    keys: await FixedKeys.create(3),
    withCommonName: createCommonName({ mode: 'auto' }),
    events: nodeEvents(sinks, clock),
    agent: { tenantId, nodeId, dataDir: files.directory },
    attestation: {
      type: 'unix',
      attestors: {
        unix: unixNodeAttestor(machine),
        docker: dockerNodeAttestor({ files, http, socketPath: files.path('no-engine'), hostname: 'host' }),
        kubernetes: kubernetesNodeAttestor({
          files,
          fileEvents: fileEvents(sinks.log, clock),
          inPod: false,
          tokenPath: '/nowhere',
          clusterName: '',
        }),
        join_token: joinTokenNodeAttestor(),
      },
    },
    joinToken: { token: null, path: files.path('join-token') },
    threshold: { ms: 6 * 3_600_000, explicit: false },
    backoff: { baseMs: 10 },
  })
  keeper.subscribe(() => {
    const identity = keeper?.current()
    if (identity) client.learnGeneration(identity.workspace)
  })
  await keeper.restore()
  return { keeper, sinks, client, [Symbol.asyncDispose]: () => http[Symbol.asyncDispose]() }
}

interface Node {
  readonly keeper: AgentSvidKeeper
  readonly sinks: RecordedSinks
  readonly client: ReturnType<typeof createIcpClient>
}

async function server(options: Partial<DevIcpOptions> = {}) {
  const open = await openDevIcp(options)
  return { ...open, giveToken: () => giveToken(open.icp, open.files) }
}

async function giveToken(icp: DevIcp, files: TemporaryFiles): Promise<void> {
  await writeFile(files.path('join-token'), `${(await icp.createJoinToken()).token}\n`)
}

const asked = (icp: DevIcp) => icp.requests.list().map(({ path, status }) => `${path} ${status}`)

describe('against a server of the newer generation', () => {
  it('attests with a token, renews under its certificate, and starts again without a token', async () => {
    await using world = await server({ generation: 'workspace' })
    await world.giveToken()
    let serial: string | undefined
    {
      await using first = await node(world.icp, world.files)
      await first.keeper.attempt(never())
      expect(first.keeper.current()).toMatchObject({ workspace: true, agentId: world.icp.agents[0]?.id })
      const before = first.keeper.current()?.serial
      await first.keeper.attempt(never())
      serial = first.keeper.current()?.serial
      expect(serial).not.toBe(before)
      // The renewed certificate opens the endpoints that demand one.
      const agent = first.keeper.current()?.spiffeId
      if (!agent) throw new TypeError('no identity')
      expect((await first.client.entries(agent, never())).entries).toEqual([])
      expect(first.sinks.events()).toEqual(['Node attestation successful', 'Agent SVID renewal successful'])
    }
    await using second = await node(world.icp, world.files)
    expect(second.keeper.current()?.serial).toBe(serial)
    await second.keeper.attempt(never())
    expect(second.sinks.events()).toEqual(['Agent identity restored', 'Agent SVID renewal successful'])
  })

  it('a lost answer is told as a consumed token, and a new one in the file helps', async () => {
    await using world = await server({ generation: 'workspace' })
    await world.giveToken()
    await using agent = await node(world.icp, world.files)
    world.icp.setFault({ kind: 'drop', when: 'after', endpoint: '/v1/node/attest', times: 1 })
    await agent.keeper.attempt(never())
    expect(agent.keeper.state()).toMatchObject({ kind: 'starting', reason: { code: 'icp.unreachable' } })
    await using restarted = await node(world.icp, world.files)
    await restarted.keeper.attempt(never())
    expect(restarted.keeper.state()).toMatchObject({ kind: 'locked_out', reason: { code: 'agent.token_consumed' } })
    await world.giveToken()
    await restarted.keeper.lookForToken()
    await restarted.keeper.attempt(never())
    expect(restarted.keeper.state().kind).toBe('valid')
  })

  it('an agent that was revoked asks no more until it has a new token, and serves what it has', async () => {
    await using world = await server({ generation: 'workspace' })
    await world.giveToken()
    await using agent = await node(world.icp, world.files)
    await agent.keeper.attempt(never())
    const serial = agent.keeper.current()?.serial
    await world.icp.setAgentStatus(world.icp.agents[0]?.id ?? '', 'revoked')
    await agent.keeper.attempt(never())
    const before = asked(world.icp)
    expect(before.at(-1)).toBe('/v1/agent/renew 403')
    await agent.keeper.attempt(never())
    expect(agent.keeper.state()).toMatchObject({ kind: 'inactive', reason: { code: 'icp.agent_inactive' } })
    expect(agent.keeper.current()?.serial).toBe(serial)
    expect(asked(world.icp)).toEqual(before)
    await world.giveToken()
    await agent.keeper.lookForToken()
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().kind).toBe('valid')
    await agent.keeper.attempt(never())
    expect(asked(world.icp).slice(before.length)).toEqual(['/v1/node/attest 200', '/v1/agent/renew 200'])
  })

  it('an answer without a bundle has its issuer from /bundle', async () => {
    await using world = await server({ generation: 'workspace' })
    await world.giveToken()
    await using agent = await node(world.icp, world.files)
    world.icp.setFault({ kind: 'certificate', flaw: 'empty-bundle', endpoint: '/v1/node/attest' })
    world.icp.setFault({ kind: 'bundle-served' })
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().kind).toBe('valid')
  })

  it('after a rotation of the CA a renewal brings the new issuer', async () => {
    await using world = await server({ generation: 'workspace' })
    await world.giveToken()
    await using agent = await node(world.icp, world.files)
    await agent.keeper.attempt(never())
    const before = agent.keeper.current()?.authorities[0]?.fingerprint
    await world.icp.rotateCa()
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().kind).toBe('valid')
    expect(agent.keeper.current()?.authorities[0]?.fingerprint).not.toBe(before)
  })
})

describe('a certificate with a flaw', () => {
  let world: Awaited<ReturnType<typeof server>>
  let agent: Awaited<ReturnType<typeof node>>
  beforeAll(async () => {
    world = await server({ generation: 'workspace' })
    await world.giveToken()
    agent = await node(world.icp, world.files)
    await agent.keeper.attempt(never())
  })
  afterAll(async () => {
    await agent[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
  })

  it.each<Flaw>([
    'wrong-san',
    'no-uri',
    'two-uris',
    'foreign-key',
    'other-ca',
    'no-issuer',
    'not-yet-valid',
    'expired',
    'ca',
    'no-digital-signature',
    'other-spiffe-id',
  ])('%s never replaces the one in force, and the next renewal passes', async (flaw) => {
    const serial = agent.keeper.current()?.serial
    world.icp.setFault({ kind: 'certificate', flaw, endpoint: '/v1/agent/renew', times: 1 })
    await agent.keeper.attempt(never())
    expect([agent.keeper.current()?.serial, agent.keeper.state().kind]).toEqual([serial, 'renewal_failing'])
    expect(agent.keeper.state().reason?.code).toMatch(/^svid\./)
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().kind).toBe('valid')
    expect(agent.keeper.current()?.serial).not.toBe(serial)
  })
})

describe('against a server of the older generation', () => {
  it('every renewal is a new attestation', async () => {
    await using world = await server()
    await using agent = await node(world.icp, world.files)
    await agent.keeper.attempt(never())
    const first = agent.keeper.current()
    await agent.keeper.attempt(never())
    await agent.keeper.attempt(never())
    expect(agent.keeper.current()?.serial).not.toBe(first?.serial)
    expect([agent.keeper.current()?.workspace, agent.keeper.state().kind]).toEqual([false, 'valid'])
    expect(asked(world.icp)).toEqual(['/v1/node/attest 200', '/v1/agent/renew 401', '/v1/node/attest 200'])
    expect(agent.sinks.events('warn')).toEqual([])
  })

  it.each(['pkcs1', 'pkcs8'] as const)(
    'a key that the server made (%s) is taken when it is the certificate’s',
    async (format) => {
      await using world = await server()
      await using agent = await node(world.icp, world.files)
      world.icp.setFault({ kind: 'server-key', format, endpoint: '/v1/node/attest' })
      await agent.keeper.attempt(never())
      const identity = agent.keeper.current()
      if (!identity) throw new TypeError('no identity')
      expect(identity.key).toBeInstanceOf(Secret)
      await using restarted = await node(world.icp, world.files)
      expect(restarted.keeper.current()?.serial).toBe(identity.serial)
      expect((await restarted.client.entries(identity.spiffeId, never())).entries).toEqual([])
    },
  )

  it('a PKI that is away, a page of a proxy and a cut-off answer are waited out', async () => {
    await using world = await server()
    await using agent = await node(world.icp, world.files)
    world.icp.setFault({ kind: 'ca-away', endpoint: '/v1/node/attest', times: 1 })
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().reason?.code).toBe('icp.server_error')
    world.icp.setFault({ kind: 'html', endpoint: '/v1/node/attest', times: 1 })
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().reason?.code).toBe('icp.bad_response')
    world.icp.setFault({ kind: 'truncate', endpoint: '/v1/node/attest', times: 1 })
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().kind).toBe('starting')
    await agent.keeper.attempt(never())
    expect(agent.keeper.state().kind).toBe('valid')
  })
})
