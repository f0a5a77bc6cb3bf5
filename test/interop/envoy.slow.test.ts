import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.js'
import { until } from '../support/until.js'
import { Environment, TRUST_DOMAIN } from './support/environment.js'
import {
  agentCluster,
  answers,
  ENVOY_TOOLCHAIN,
  Envoy,
  envoyBinary,
  plainListener,
  programAt,
  Requests,
  type SdsConfig,
  serverListener,
  upstreamCluster,
} from './support/envoy.js'

const { missing } = ENVOY_TOOLCHAIN
const NAME = missing === null ? 'Envoy' : `Envoy (skipped: ${missing})`
const SERVER = `spiffe://${TRUST_DOMAIN}/server`
const CLIENT = `spiffe://${TRUST_DOMAIN}/client`
/** How long requests run under rotation; a run by hand takes 600. */
const SECONDS = Number(process.env['ICP_TEST_ENVOY_SECONDS'] ?? 60)
const PER_SECOND = Number(process.env['ICP_TEST_ENVOY_RATE'] ?? 50)
/** A minute or what there is of it: a third as it is, then a new CA, then the agent killed and started. */
const ROUNDS = Math.max(1, Math.floor(SECONDS / 60))
/** An SVID is renewed at half of its life. */
const TTL_SECONDS = 40

describe.skipIf(missing !== null)(NAME, { timeout: SECONDS * 1000 + 300_000 }, () => {
  let binary: string
  let environment: Environment
  const envoys: Envoy[] = []
  beforeAll(async () => {
    binary = await envoyBinary()
  }, 600_000)
  afterEach(async () => {
    for (const envoy of envoys.splice(0)) await envoy[Symbol.asyncDispose]()
    await environment?.[Symbol.asyncDispose]()
  })

  const open = async (settings: Readonly<Record<string, string>> = {}, workloadTrustDomain = TRUST_DOMAIN) => {
    environment = await Environment.open({ server: { svidTtlSeconds: TTL_SECONDS, workloadTrustDomain }, settings })
    for (const entry of environment.server.entries) await environment.server.deleteEntry(entry.id)
  }
  const programOf = (role: string) => join(environment.dir, role)
  const register = (role: string, spiffeId: string) =>
    environment.server.createEntry({ spiffeId, selectors: { 'unix:path': programOf(role) } })
  const start = async (role: string, config: Parameters<typeof Envoy.start>[2], cwd?: string) => {
    const envoy = await Envoy.start(programAt(programOf(role), binary), environment.dir, config, cwd)
    envoys.push(envoy)
    return envoy
  }
  const secrets = (peers: readonly string[], more: Partial<SdsConfig> = {}): SdsConfig => ({
    socketPath: environment.agent.socketPath,
    peers,
    ...more,
  })

  /** Two Envoys, one behind the other, each with its identity; resolves when a request goes through. */
  const pair = async (more: Partial<SdsConfig> = {}) => {
    const [serverPort, clientPort] = [await freePort(), await freePort()]
    const clusters = [agentCluster(environment.agent.socketPath)]
    const server = await start('server', {
      static_resources: { listeners: [serverListener(serverPort, secrets([CLIENT], more))], clusters },
    })
    const client = await start('client', {
      static_resources: {
        listeners: [plainListener(clientPort, 'upstream')],
        clusters: [...clusters, upstreamCluster('upstream', serverPort, secrets([SERVER], more))],
      },
    })
    await until(() => answers(clientPort), { what: 'a request through both', seconds: 60 })
    return { server, client, clientPort, serverPort }
  }

  it.each(['GRPC', 'DELTA_GRPC'] as const)(
    'loses no request under rotations, new CAs and kill -9 of the agent, by %s',
    async (apiType) => {
      await open()
      await register('server', SERVER)
      await register('client', CLIENT)
      const { server, client, clientPort } = await pair({ apiType })
      const requests = new Requests(clientPort, PER_SECOND)
      const third = () => new Promise((resolve) => setTimeout(resolve, (SECONDS * 1000) / ROUNDS / 3))
      const events: string[] = []
      const noted = (what: string) => events.push(`${new Date().toISOString()} ${what}`)
      for (let round = 0; round < ROUNDS; round++) {
        await third()
        await environment.server.rotateCa()
        noted('a new CA')
        await third()
        await environment.agent.kill()
        noted('the agent is killed')
        await environment.agent.start()
        noted('the agent is back')
        await third()
      }
      const { sent, failures, peers, peerSerials } = await requests.stop()
      const rounds = `${ROUNDS} CAs, ${ROUNDS} times kill -9`
      process.stdout.write(`${apiType}: ${sent} requests, ${peerSerials.size} client certificates, ${rounds}\n`)
      if (failures.length > 0) process.stdout.write(`${[...events, server.log, client.log].join('\n')}\n`)
      expect(failures).toEqual([])
      expect([...peers]).toEqual([CLIENT])
      expect(sent).toBeGreaterThan(SECONDS * PER_SECOND * 0.8)
      // The first one, and those of the rotations.
      expect(peerSerials.size).toBeGreaterThanOrEqual(Math.floor(SECONDS / (TTL_SECONDS / 2)))
      for (const envoy of [server, client]) expect(await envoy.count('sds.*update_rejected')).toBe(0)
    },
  )

  it('serves on with the last secret while the entry is away, and takes the next one when it is back', async () => {
    await open()
    const entry = await register('server', SERVER)
    await register('client', CLIENT)
    const { server, clientPort } = await pair()
    const [before] = await server.serials()
    await environment.server.deleteEntry(entry.id)
    // The stream ends with PermissionDenied, and the next one is held.
    await until(() => /gRPC config stream.* closed: 7/.test(server.log), { what: 'PermissionDenied', seconds: 60 })
    expect(await answers(clientPort)).toBe(true)
    expect(await server.serials()).toContain(before)
    await register('server', SERVER)
    await until(async () => !(await server.serials()).includes(before ?? ''), { what: 'another SVID', seconds: 60 })
    expect(await answers(clientPort)).toBe(true)
  })

  it('takes an identity at once that comes after half a minute', async () => {
    await open()
    await register('client', CLIENT)
    const port = await freePort()
    const server = await start('server', {
      static_resources: {
        listeners: [serverListener(port, secrets([CLIENT]))],
        clusters: [agentCluster(environment.agent.socketPath)],
      },
    })
    // Longer than Envoy waits for the first fetch.
    await new Promise((resolve) => setTimeout(resolve, 30_000))
    expect(await server.serials()).toEqual([])
    expect(server.log).not.toContain('gRPC config stream closed')
    await register('server', SERVER)
    await until(async () => (await server.serials()).length > 0, { what: 'an SVID', seconds: 60 })
    const clientPort = await freePort()
    await start('client', {
      static_resources: {
        listeners: [plainListener(clientPort, 'upstream')],
        clusters: [agentCluster(environment.agent.socketPath), upstreamCluster('upstream', port, secrets([SERVER]))],
      },
    })
    await until(() => answers(clientPort), { seconds: 60 })
  })

  it('is served by its right names where others are wrong, of another workload, or given later', async () => {
    await open()
    await register('server', SERVER)
    await register('client', CLIENT)
    const [good, wrong, late] = [await freePort(), await freePort(), await freePort()]
    const clusters = [agentCluster(environment.agent.socketPath)]
    const later = `spiffe://${TRUST_DOMAIN}/later`
    const server = await start('server', {
      static_resources: {
        listeners: [
          serverListener(good, secrets([CLIENT], { certificate: SERVER, bundle: `spiffe://${TRUST_DOMAIN}` }), 'good'),
          serverListener(wrong, secrets([CLIENT], { certificate: CLIENT, bundle: 'nonsense' }), 'wrong'),
          serverListener(late, secrets([CLIENT], { certificate: later, bundle: 'ALL' }), 'late'),
        ],
        clusters,
      },
    })
    const [toGood, toLate] = [await freePort(), await freePort()]
    await start('client', {
      static_resources: {
        listeners: [plainListener(toGood, 'good'), plainListener(toLate, 'late')],
        clusters: [
          ...clusters,
          upstreamCluster('good', good, secrets([SERVER])),
          upstreamCluster('late', late, secrets([later])),
        ],
      },
    })
    await until(() => answers(toGood), { seconds: 60 })
    expect(await answers(toLate)).toBe(false)
    await register('server', later)
    await until(() => answers(toLate), { seconds: 60 })
    expect(await answers(toGood)).toBe(true)
    expect(await server.count('sds.*update_rejected')).toBe(0)
  })

  it('verifies with plain CA certificates where its metadata asks for it', async () => {
    await open()
    await register('server', SERVER)
    await register('client', CLIENT)
    const [serverPort, clientPort] = [await freePort(), await freePort()]
    const clusters = [agentCluster(environment.agent.socketPath)]
    const node = { id: 'test', cluster: 'test', metadata: { disable_spiffe_cert_validation: true } }
    const server = await start('server', {
      node,
      static_resources: { listeners: [serverListener(serverPort, secrets([CLIENT]))], clusters },
    })
    await start('client', {
      node,
      static_resources: {
        listeners: [plainListener(clientPort, 'upstream')],
        clusters: [...clusters, upstreamCluster('upstream', serverPort, secrets([SERVER]))],
      },
    })
    await until(() => answers(clientPort), { seconds: 60 })
    expect(await server.ask('/config_dump?include_eds')).toContain('trusted_ca')
  })

  /** The configurations of SPIRE's tutorial: names by SPIFFE ID, the older matcher, one service without a list. */
  it('takes its secrets as SPIRE configures them', async () => {
    await open()
    await register('server', SERVER)
    await register('client', CLIENT)
    const spire = <T extends object>(config: T): T =>
      JSON.parse(
        JSON.stringify(config)
          .replaceAll(
            /"grpc_services":\[(\{"envoy_grpc":\{"cluster_name":)"agent"\}\}\]/g,
            '"grpc_services":$1"spire_agent"}}',
          )
          .replaceAll(
            /"match_typed_subject_alt_names":\[\{"san_type":"URI","matcher":(\{[^}]*\})\}\]/g,
            '"match_subject_alt_names":[$1]',
          )
          .replaceAll(
            '"common_tls_context":{',
            '"common_tls_context":{"tls_params":{"ecdh_curves":["X25519:P-256:P-521:P-384"]},',
          )
          .replaceAll('"require_client_certificate":true,', ''),
      ) as T
    // The type of the cluster is left out there.
    const { type: _static, ...cluster } = agentCluster(environment.agent.socketPath, 'spire_agent')
    const clusters = [{ ...cluster, connect_timeout: '0.25s' }]
    const [serverPort, clientPort] = [await freePort(), await freePort()]
    const bundle = `spiffe://${TRUST_DOMAIN}`
    const listeners = [serverListener(serverPort, secrets([CLIENT], { certificate: SERVER, bundle }))]
    const server = spire({ static_resources: { listeners, clusters } })
    for (const part of ['"grpc_services":{', '"match_subject_alt_names"', 'P-521']) {
      expect(JSON.stringify(server)).toContain(part)
    }
    await start('server', server)
    await start(
      'client',
      spire({
        static_resources: {
          listeners: [plainListener(clientPort, 'upstream')],
          clusters: [
            ...clusters,
            upstreamCluster('upstream', serverPort, secrets([SERVER], { certificate: CLIENT, bundle })),
          ],
        },
      }),
    )
    await until(() => answers(clientPort), { seconds: 60 })
  })

  /** What the proxy of Istio has: a path below its working directory, the node told once, no time limit for secrets. */
  it('takes its secrets as Istio configures them', async () => {
    await open()
    await register('server', SERVER)
    await register('client', CLIENT)
    const directory = join(environment.dir, 'proxy', 'var', 'run', 'secrets', 'workload-spiffe-uds')
    mkdirSync(directory, { recursive: true })
    symlinkSync(environment.agent.socketPath, join(directory, 'socket'))
    const istio = <T extends object>(config: T): T =>
      JSON.parse(
        JSON.stringify(config)
          .replaceAll('"cluster_name":"agent"', '"cluster_name":"sds-grpc"')
          .replaceAll(
            '"transport_api_version":"V3"',
            '"transport_api_version":"V3","set_node_on_first_message_only":true',
          )
          .replaceAll('"resource_api_version":"V3"', '"resource_api_version":"V3","initial_fetch_timeout":"0s"'),
      ) as T
    const clusters = [agentCluster('./var/run/secrets/workload-spiffe-uds/socket', 'sds-grpc')]
    const [serverPort, clientPort] = [await freePort(), await freePort()]
    const cwd = join(environment.dir, 'proxy')
    await start(
      'server',
      istio({ static_resources: { listeners: [serverListener(serverPort, secrets([CLIENT]))], clusters } }),
      cwd,
    )
    await start(
      'client',
      istio({
        static_resources: {
          listeners: [plainListener(clientPort, 'upstream')],
          clusters: [...clusters, upstreamCluster('upstream', serverPort, secrets([SERVER]))],
        },
      }),
      cwd,
    )
    await until(() => answers(clientPort), { seconds: 60 })
  })
})
