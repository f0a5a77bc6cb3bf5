import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ExplainAnswer, explain, type ProcessAnswer } from '../../agent/admin/routes/explain.js'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { Containers, type ContainerWorkload, type Line, type WorkloadOutput } from '../support/containers.js'
import { type DockerEngine, dockerUnavailable, startDockerEngine } from '../support/docker-engine.js'
import { eventually } from '../support/until.js'
import { clientOf } from './admin/support.js'

const DOMAIN = 'acme.example'
const idOf = (name: string) => `spiffe://${DOMAIN}/${name}`
const unavailable = await dockerUnavailable()
const skipped = unavailable === null ? '' : ` (skipped: ${unavailable})`
const never = new AbortController().signal
const COLOURS = ['blue', 'green', 'none']

describe.skipIf(unavailable !== null)(`twenty live processes on a host with a Docker Engine${skipped}`, () => {
  const parts: AsyncDisposable[] = []
  const use = <T extends AsyncDisposable>(part: T): T => {
    parts.unshift(part)
    return part
  }
  let engine: DockerEngine
  let server: DevIcp
  let agent: RunningAgent
  let containers: Containers

  beforeAll(async () => {
    const dir = use(await temporaryDirectory())
    engine = use(await startDockerEngine())
    await engine.makeImage('workload:1')
    server = use(await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN }))
    const settings = { ...engine.settings, AGENT__SOCKET_PATH: join(dir.path, 'run', 'agent.sock') }
    containers = await Containers.prepare(engine, settings.AGENT__SOCKET_PATH)
    const entry = (name: string, selectors: Readonly<Record<string, string>>) =>
      server.createEntry({ spiffeId: idOf(name), selectors })
    await entry('host', { 'unix:uid': '0', 'unix:path': process.execPath })
    await entry('blue', { 'docker:label:color': 'blue', 'docker:image-name': 'workload:1' })
    await entry('green', { 'docker:label:color': 'green', 'unix:uid': '0' })
    await entry('other', { 'docker:label:color': 'red', 'unix:uid': '0' })
    agent = use(await startAgent({ dir: dir.path, server, settings }))
  })
  afterAll(async () => {
    for (const part of parts) await part[Symbol.asyncDispose]()
  })

  const asked = async (body: object): Promise<ExplainAnswer> => {
    using client = clientOf(agent)
    return await client.send(explain.schema, { method: 'POST', path: explain.path, body, signal: never })
  }
  const only = ({ processes }: ExplainAnswer): ProcessAnswer => {
    const [process, ...more] = processes
    if (!process || more.length > 0) throw new TypeError(`${processes.length} processes were explained`)
    return process
  }
  const idsOf = ({ matches }: ProcessAnswer) => matches.map(({ spiffe_id }) => spiffe_id).sort()

  it('each then gets what the explanation said', async () => {
    const hosts = Array.from({ length: 10 }, (_, i) => containers.onHost(`host-${i}`))
    const boxes: ContainerWorkload[] = []
    for (let i = 0; i < 10; i++) {
      const color = COLOURS[i % COLOURS.length] ?? ''
      boxes.push(await containers.run({ name: `box-${i}`, labels: { color }, waits: true }))
    }
    const all: (readonly [WorkloadOutput, object])[] = [
      ...hosts.map((host) => [host, { pid: host.process.pid }] as const),
      ...boxes.map((box) => [box, { container: box.id.slice(0, 12) }] as const),
    ]
    try {
      // Until entries are read, and exec of the programs is over.
      const before = await eventually(
        async () => {
          const found: ProcessAnswer[] = []
          for (const [, body] of all) found.push(only(await asked(body)))
          return found
        },
        (processes) =>
          processes.every(({ decision, error }) => decision.code !== 'agent.starting' && error === null) &&
          processes.slice(0, hosts.length).every(({ matches }) => matches.length > 0),
      )
      for (const [output] of all) output.go()
      for (const [i, [output, body]] of all.entries()) {
        const line: Line = await output.line((written) => !('waits' in written))
        const said = before[i]
        if (!said) throw new TypeError('not explained')
        if ('svids' in line) {
          expect([...line.svids].sort(), output.name).toEqual(idsOf(said))
          expect(only(await asked(body)).decision, output.name).toMatchObject({ kind: 'send', spiffe_ids: line.svids })
        } else {
          expect([idsOf(said), said.decision.kind, said.decision.code], output.name).toEqual([
            [],
            'refuse',
            'entry.none',
          ])
          expect('code' in line && line.code, output.name).toBe(7)
          // Exactly the pair that is different: the red one asks for the same user.
          expect(said.nearest.find(({ spiffe_id }) => spiffe_id === idOf('other'))).toMatchObject({
            missing: [],
            different: [{ selector: 'docker:label:color', wanted: 'red', found: 'none' }],
          })
        }
      }
      expect(before.map(({ matches }) => matches.length)).toEqual([
        ...Array(10).fill(1),
        ...boxes.map((_, i) => (i % COLOURS.length === 2 ? 0 : 1)),
      ])
    } finally {
      for (const { process } of hosts) process.kill('SIGKILL')
    }
  })
})
