import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { OwnGroups } from '../support/cgroups.js'
import { Containers, type ContainerWorkload, type Line } from '../support/containers.js'
import { type DockerEngine, dockerUnavailable, startDockerEngine } from '../support/docker-engine.js'

const DOMAIN = 'acme.example'
const idOf = (name: string) => `spiffe://${DOMAIN}/${name}`
const unavailable = await dockerUnavailable()
const skipped = unavailable === null ? '' : ` (skipped: ${unavailable})`
/** The agent paces itself below the server's limits: seldom asked, the server has slots for what is tested. */
const SETTINGS = { SYNC__INTERVAL: '15s' }

const served = (line: Line): readonly string[] => ('svids' in line ? line.svids : [])
const given = (name: string) => (line: Line) => served(line).includes(idOf(name))

describe.skipIf(unavailable !== null)(`on a real Docker Engine${skipped}`, () => {
  const parts: AsyncDisposable[] = []
  const use = <T extends AsyncDisposable>(part: T): T => {
    parts.unshift(part)
    return part
  }
  let engine: DockerEngine
  let server: DevIcp
  let agent: RunningAgent
  let containers: Containers
  let spelled: ContainerWorkload

  const entry = (name: string, selectors: Readonly<Record<string, string>>) =>
    server.createEntry({ spiffeId: idOf(name), selectors })

  beforeAll(async () => {
    const dir = use(await temporaryDirectory())
    engine = use(await startDockerEngine())
    await engine.makeImage('workload:1')
    await engine.makeImage('labelled:1', undefined, { app: 'payments' })
    server = use(await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN }))
    const settings = { ...SETTINGS, ...engine.settings, AGENT__SOCKET_PATH: join(dir.path, 'run', 'agent.sock') }
    containers = await Containers.prepare(engine, settings.AGENT__SOCKET_PATH)
    const labels = { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web' }
    spelled = await containers.create({ name: 'spelled', labels })

    await entry('blue', { 'docker:label:color': 'blue', 'docker:image-name': 'workload:1' })
    await entry('green', { 'docker:label:color': 'green', 'unix:uid': '0' })
    for (const who of ['honest', 'liar', 'victim', 'forger']) await entry(who, { 'docker:label:who': who })
    const image = (await engine.docker('image', 'inspect', '--format', '{{.Id}}', 'workload:1')).replace('sha256:', '')
    await entry('dashes', {
      'docker:container-id': spelled.id,
      'docker:container-name': 'spelled',
      'docker:image-name': 'workload:1',
      'docker:image-id': image.slice(0, 12),
      'docker:image-digest': `sha256:${image}`,
      'docker:label:com.docker.compose.project': 'shop',
    })
    await entry('underscores', {
      'docker:container_id': spelled.id,
      'docker:container_name': 'spelled',
      'docker:image_name': 'workload:1',
      'docker:image': 'workload:1',
      'docker:image_id': image.slice(0, 12),
      'docker:label:com.docker.compose.service': 'web',
    })
    await entry('by-label', { 'docker:label:app': 'payments' })
    await entry('by-image-label', { 'docker:image-label:app': 'payments' })
    await entry('named', { 'docker:container-name': 'the-name' })
    await entry('plain', { 'docker:label:plain': 'yes' })
    await entry('steady', { 'docker:label:steady': 'yes' })
    for (let i = 0; i < 3; i++) await entry(`fleet-${i}`, { 'docker:label:fleet': String(i) })
    agent = use(await startAgent({ dir: dir.path, server, settings }))
  })
  afterAll(async () => {
    for (const part of parts) await part[Symbol.asyncDispose]()
  })

  it('two containers of one image and one user have an identity each, by their labels', async () => {
    const [blue, green] = await Promise.all([
      containers.run({ name: 'blue', labels: { color: 'blue' } }),
      containers.run({ name: 'green', labels: { color: 'green' } }),
    ])
    expect(await blue.identities()).toEqual([idOf('blue')])
    expect(await green.identities()).toEqual([idOf('green')])
    await sleep(2_000)
    for (const line of blue.lines) expect(served(line)).toEqual(served(line).map(() => idOf('blue')))
    for (const line of green.lines) expect(served(line)).toEqual(served(line).map(() => idOf('green')))
  })

  it('a container that sends what another one is gets its own', async () => {
    const honest = await containers.run({ name: 'honest', labels: { who: 'honest' } })
    const liar = await containers.run({
      name: 'liar',
      labels: { who: 'liar' },
      metadata: {
        'x-docker-container-id': honest.id,
        'x-docker-container-name': 'honest',
        'x-docker-image-name': 'workload:1',
        'x-docker-label-who': 'honest',
      },
    })
    expect(await honest.identities()).toEqual([idOf('honest')])
    expect(await liar.identities()).toEqual([idOf('liar')])
    for (const line of liar.lines) expect(served(line)).not.toContain(idOf('honest'))
  })

  it('a container without an entry of its own is refused, and told nothing', async () => {
    const nobody = await containers.run({ name: 'nobody' })
    const line = await nobody.line((written) => 'code' in written)
    expect(line).toMatchObject({ code: 7 })
    expect(JSON.stringify(line)).not.toContain(nobody.id)
  })

  it('every spelling of a selector matches', async () => {
    await spelled.start()
    const line = await spelled.line((written) => served(written).length === 2)
    expect(served(line).toSorted()).toEqual([idOf('dashes'), idOf('underscores')])
  })

  it('a label of the image is not one that the container was given', async () => {
    const built = await containers.run({ name: 'built', image: 'labelled:1' })
    expect(await built.identities()).toEqual([idOf('by-image-label')])
    await agent.logged('Entry no longer matches by a label that the image was built with')
    const given = await containers.run({ name: 'given', labels: { app: 'payments' } })
    expect(await given.identities()).toEqual([idOf('by-label')])
  })

  it('a rename is felt within two seconds', async () => {
    const before = await containers.run({ name: 'the-name' })
    expect(await before.identities()).toEqual([idOf('named')])
    await engine.docker('rename', 'the-name', 'before')
    const after = await containers.run({ name: 'after', labels: { plain: 'yes' } })
    expect(await after.identities()).toEqual([idOf('plain')])

    await engine.docker('rename', 'after', 'the-name')
    const began = Date.now()
    await after.line(given('named'))
    expect(Date.now() - began).toBeLessThan(2_000)
    expect(await before.line((line) => 'code' in line)).toMatchObject({ code: 7 })
    await engine.docker('rename', 'the-name', 'after')
    await expect.poll(() => after.lines.at(-1), { timeout: 2_000 }).toEqual({ svids: [idOf('plain')] })
  })

  it('a container that moves into a group named like another container stays what it is', async () => {
    const victim = await containers.run({ name: 'victim', labels: { who: 'victim' } })
    expect(await victim.identities()).toEqual([idOf('victim')])
    const forger = await containers.run({ name: 'forger', labels: { who: 'forger' }, waits: true })
    const pid = await forger.pid()
    await using groups = new OwnGroups()
    groups.move(pid, pid, join('docker', victim.id))
    expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toContain(`/docker/${victim.id}`)
    forger.go()
    expect(await forger.identities()).toEqual([idOf('forger')])

    // Nor does a process of the host that goes into such a group elsewhere.
    const host = containers.onHost('host-forger')
    groups.move(Number(host.process.pid), 'self', join('handed-over', victim.id))
    host.go()
    expect(await host.line(() => true)).toMatchObject({ code: 7 })
    const warning = await agent.logged('A process claims to be in a container that it is not in')
    expect(warning).toMatchObject({ pid: host.process.pid, container: victim.id })
    host.process.kill('SIGKILL')
    await engine.docker('rm', '--force', forger.id)
  })

  it('fifty containers that start at once are all served', async () => {
    const fleet = await Promise.all(
      Array.from({ length: 50 }, (_, i) => containers.create({ name: `fleet-${i}`, labels: { fleet: String(i % 3) } })),
    )
    await engine.docker('start', ...fleet.map(({ id }) => id))
    const identities = await Promise.all(fleet.map((workload) => workload.identities()))
    expect(identities).toEqual(fleet.map((_, i) => [idOf(`fleet-${i % 3}`)]))
    await engine.docker('rm', '--force', ...fleet.map(({ id }) => id))
  })

  it('a stop and a start of the engine lose no stream, and nobody is left out meanwhile', async () => {
    const labels = { steady: 'yes' }
    const workloads = await Promise.all(['a', 'b', 'c'].map((x) => containers.run({ name: `steady-${x}`, labels })))
    for (const workload of workloads) expect(await workload.identities()).toEqual([idOf('steady')])

    await engine.stop()
    await agent.logged('Container engine does not answer')
    // What changes at the server reaches them while the engine is away: they are still known.
    await entry('meanwhile', { 'docker:label:steady': 'yes', 'docker:image': 'workload:1' })
    for (const workload of workloads) await workload.line(given('meanwhile'))

    await engine.start()
    await agent.logged('Container engine answers again')
    await sleep(2_000)
    for (const workload of workloads) {
      expect(workload.lines.filter((line) => 'code' in line)).toEqual([])
      expect(served(workload.lines.at(-1) ?? { svids: [] }).toSorted()).toEqual([idOf('meanwhile'), idOf('steady')])
    }
    const newcomer = await containers.run({ name: 'steady-d', labels })
    expect(await newcomer.identities()).toContain(idOf('steady'))
  })
})

describe.skipIf(unavailable !== null)(`an engine that appears after the agent${skipped}`, () => {
  it('is found, and its containers are attested', async () => {
    await using dir = await temporaryDirectory()
    await using engine = await startDockerEngine()
    await engine.makeImage('workload:1')
    await engine.stop()
    await using server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN })
    await server.createEntry({ spiffeId: idOf('late'), selectors: { 'docker:label:app': 'late' } })
    await using agent = await startAgent({ dir: dir.path, server, settings: { ...SETTINGS, ...engine.settings } })
    await sleep(1_000)
    expect(agent.lines.filter(({ level }) => level === 'warning')).toEqual([])
    await engine.start()
    await agent.logged('Container engine found')
    const containers = await Containers.prepare(engine, agent.socketPath)
    const workload = await containers.run({ name: 'late', labels: { app: 'late' } })
    expect(await workload.identities()).toEqual([idOf('late')])
  })
})
