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
    'loses no request under rotations, a new CA and kill -9 of the agent, by %s',
    async (apiType) => {
      await open()
      await register('server', SERVER)
      await register('client', CLIENT)
      const { server, client, clientPort } = await pair({ apiType })
      const requests = new Requests(clientPort, PER_SECOND)
      const third = () => new Promise((resolve) => setTimeout(resolve, (SECONDS * 1000) / 3))
      await third()
      await environment.server.rotateCa()
      await third()
      await environment.agent.kill()
      await environment.agent.start()
      await third()
      const { sent, failures, peers, peerSerials } = await requests.stop()
      process.stdout.write(`${apiType}: ${sent} requests, ${peerSerials.size} client certificates\n`)
      expect(failures).toEqual([])
      expect([...peers]).toEqual([CLIENT])
      expect(sent).toBeGreaterThan(SECONDS * PER_SECOND * 0.8)
      // The first one, and those of the rotations.
      expect(peerSerials.size).toBeGreaterThanOrEqual(Math.floor(SECONDS / (TTL_SECONDS / 2)))
      for (const envoy of [server, client]) expect(await envoy.count('sds.*update_rejected')).toBe(0)
    },
  )
})
