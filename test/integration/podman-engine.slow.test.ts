import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { explain } from '../../agent/admin/routes/explain.js'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { Containers } from '../support/containers.js'
import { podmanUnavailable, startPodman } from '../support/podman-engine.js'
import { eventually } from '../support/until.js'
import { clientOf } from './admin/support.js'

const DOMAIN = 'acme.example'
const idOf = (name: string) => `spiffe://${DOMAIN}/${name}`
const unavailable = await podmanUnavailable()

describe.skipIf(unavailable !== null)(`on podman's socket${unavailable ? ` (skipped: ${unavailable})` : ''}`, () => {
  it('containers have an identity each, by name, image and label, and keep it when the service ends', async () => {
    await using dir = await temporaryDirectory()
    await using podman = await startPodman()
    await podman.makeImage('workload:1')
    await podman.makeImage('labelled:1', undefined, { color: 'blue' })
    await using server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN })
    const entry = (name: string, selectors: Readonly<Record<string, string>>) =>
      server.createEntry({ spiffeId: idOf(name), selectors })
    await entry('blue', { 'docker:label:color': 'blue', 'docker:image-name': 'localhost/workload:1' })
    await entry('green', { 'docker:container-name': 'green' })
    await entry('by-image', { 'docker:image-label:color': 'blue' })
    await entry('by-label', { 'docker:label:color': 'blue', 'docker:image-name': 'localhost/labelled:1' })
    await entry('renamed', { 'docker:container-name': 'turquoise' })
    await using agent = await startAgent({
      dir: dir.path,
      server,
      settings: { ...podman.settings, SYNC__INTERVAL: '15s' },
    })
    await agent.logged('Container engine found')
    const containers = await Containers.prepare(podman, agent.socketPath)
    const blue = await containers.run({ name: 'blue', labels: { color: 'blue' } })
    const green = await containers.run({ name: 'green' })
    expect(await blue.identities()).toEqual([idOf('blue')])
    expect(await green.identities()).toEqual([idOf('green')])

    const labelled = await containers.run({ name: 'labelled', image: 'localhost/labelled:1' })
    expect(await labelled.identities()).toEqual([idOf('by-image')])

    await podman.docker('rename', 'green', 'turquoise')
    await green.line((line) => 'svids' in line && line.svids.includes(idOf('renamed')))
    await expect.poll(() => green.lines.at(-1), { timeout: 5_000 }).toEqual({ svids: [idOf('renamed')] })

    await podman.stopService()
    await agent.logged('Container engine does not answer')
    await sleep(2_000)
    for (const workload of [blue, green]) expect(workload.lines.filter((line) => 'code' in line)).toEqual([])
  })

  it('explain says of a container, and of its process, what it is then served', async () => {
    await using dir = await temporaryDirectory()
    await using podman = await startPodman()
    await podman.makeImage('workload:1')
    await using server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN })
    const entry = (name: string, selectors: Readonly<Record<string, string>>) =>
      server.createEntry({ spiffeId: idOf(name), selectors })
    await entry('blue', { 'docker:label:color': 'blue', 'docker:image-name': 'localhost/workload:1' })
    await entry('named', { 'docker:container-name': 'blue', 'unix:uid': '0' })
    await entry('red', { 'docker:label:color': 'red', 'unix:uid': '0' })
    await using agent = await startAgent({ dir: dir.path, server, settings: podman.settings })
    const containers = await Containers.prepare(podman, agent.socketPath)
    const asked = async (body: object) => {
      using client = clientOf(agent)
      const signal = new AbortController().signal
      const { processes } = await client.send(explain.schema, { method: 'POST', path: explain.path, body, signal })
      expect(processes).toHaveLength(1)
      return processes[0]
    }
    const idsOf = (matches: readonly { readonly spiffe_id: string }[] = []) =>
      matches.map(({ spiffe_id }) => spiffe_id).sort()

    for (const [name, color, ids] of [
      ['blue', 'blue', [idOf('blue'), idOf('named')]],
      ['white', 'white', []],
    ] as const) {
      const workload = await containers.run({ name, labels: { color }, waits: true })
      const pid = Number(await podman.docker('inspect', '--format', '{{.State.Pid}}', name))
      const before = await eventually(
        () => asked({ container: workload.id.slice(0, 12) }),
        (said) => said?.error === null && said.unavailable.length === 0 && said.decision.code !== 'agent.starting',
      )
      expect(await asked({ pid })).toMatchObject({
        subject: { pid, container: workload.id },
        selectors: before?.selectors,
        matches: before?.matches,
      })
      expect(before?.selectors).toContainEqual({ selector: 'docker:label:color', value: color, attestor: 'docker' })
      expect(idsOf(before?.matches)).toEqual(ids)
      workload.go()
      const line = await workload.line((written) => !('waits' in written))
      expect('svids' in line ? [...line.svids].sort() : line).toEqual(
        ids.length > 0 ? ids : expect.objectContaining({ code: 7 }),
      )
      const after = await asked({ pid })
      expect(after?.decision).toMatchObject(
        'svids' in line ? { kind: 'send', spiffe_ids: line.svids } : { kind: 'refuse', code: 'entry.none' },
      )
    }
  })
})
