import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WorkloadApiClient } from '../../agent/client/workload-api-client.js'
import { AgentError } from '../../agent/errors.js'
import { createLinuxKernel } from '../../agent/platform/linux-kernel.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { KernelInPods } from '../support/kernel-in-pods.js'
import { KubernetesApiDouble } from '../support/kubernetes-api.js'
import { cgroupOf, containerId, NODE, type PodWish, podObject } from '../support/kubernetes-pods.js'

/** The process of this test plays the workload of one pod. */
const { uid } = podObject().metadata
const DOMAIN = 'acme.example'

/** The real time, but a wait that is longer than this does not end. */
class BoundedClock extends SystemClock {
  longestMs = Number.POSITIVE_INFINITY
  readonly #due: (() => void)[] = []

  override after(ms: number, run: () => void): Disposable {
    let gone = false
    const timer = super.after(ms, () => (ms > this.longestMs ? this.#due.push(() => gone || run()) : run()))
    return {
      [Symbol.dispose]: () => {
        gone = true
        timer[Symbol.dispose]()
      },
    }
  }

  async within(ms: number, story: () => Promise<void>): Promise<void> {
    this.longestMs = ms
    await story()
    this.longestMs = Number.POSITIVE_INFINITY
    for (const run of this.#due.splice(0)) run()
  }
}

const clock = new BoundedClock()
const parts: { [Symbol.asyncDispose](): PromiseLike<void> }[] = []
let api: KubernetesApiDouble
let agent: RunningAgent

beforeAll(async () => {
  const dir = await temporaryDirectory()
  api = await KubernetesApiDouble.start()
  const server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: DOMAIN })
  await server.createEntry({ spiffeId: `spiffe://${DOMAIN}/web`, selectors: { 'k8s:pod-label:app': 'web' } })
  await server.createEntry({
    spiffeId: `spiffe://${DOMAIN}/gold`,
    selectors: { 'k8s:ns': 'shop', 'k8s:pod-label:tier': 'gold' },
  })
  await writeFile(join(dir.path, 'token'), 'token-1')
  await writeFile(join(dir.path, 'ca.crt'), api.caPem)
  const kernel = createLinuxKernel()
  agent = await startAgent({
    dir: dir.path,
    server,
    settings: {
      ATTESTATION__KUBERNETES__API_TOKEN_PATH: join(dir.path, 'token'),
      ATTESTATION__KUBERNETES__API_CA_PATH: join(dir.path, 'ca.crt'),
      ATTESTATION__KUBERNETES__NODE_NAME: NODE,
      ATTESTATION__DOCKER__SOCKET_PATH: join(dir.path, 'no-docker.sock'),
    },
    world: {
      kernel: new KernelInPods(kernel, () => cgroupOf(uid, containerId(`${uid}/app0`))),
      kubernetesApi: api.address,
      clock,
    },
  })
  parts.push(agent, { [Symbol.asyncDispose]: async () => kernel[Symbol.dispose]() }, server, api, dir)
  await agent.logged('Agent startup completed successfully')
})
afterAll(async () => {
  for (const part of parts) await part[Symbol.asyncDispose]()
})

const put = (wish: PodWish) => api.put(podObject(wish))

/** A stream that is open: its messages so far, and how it ended. */
function openStream() {
  const stop = new AbortController()
  const client = WorkloadApiClient.connect({ address: agent.address, clock: new SystemClock() })
  const told: string[][] = []
  const waiting = new Set<() => void>()
  const tell = (names: string[]) => {
    told.push(names)
    for (const look of [...waiting]) look()
  }
  const reading = (async () => {
    try {
      for await (const { svids } of client.watchX509Svids(stop.signal))
        tell(svids.map(({ svid }) => svid.spiffeId.path))
    } catch (error) {
      tell([error instanceof AgentError ? error.code : String(error)])
    }
  })()
  return {
    told,
    /** Resolves when the last message is this. */
    async becomes(names: readonly string[]): Promise<void> {
      await new Promise<void>((resolve) => {
        const look = () => {
          if (JSON.stringify(told.at(-1)) !== JSON.stringify(names)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await reading
      client[Symbol.dispose]()
    },
  }
}

describe('a stream that is open', () => {
  it('is granted and loses identities within 2 s of a change of labels', async () => {
    put({ labels: { app: 'web' } })
    await using stream = openStream()
    await stream.becomes(['/web'])
    await clock.within(2_000, async () => {
      put({ labels: { app: 'web', tier: 'gold' } })
      await stream.becomes(['/web', '/gold'])
      put({ labels: { tier: 'gold' } })
      await stream.becomes(['/gold'])
      put({ labels: { app: 'web' } })
      await stream.becomes(['/web'])
    })
  })

  it('loses its last identity within 2 s of the change: the caller is denied', async () => {
    put({ labels: { app: 'web' } })
    await using stream = openStream()
    await stream.becomes(['/web'])
    const before = agent.lines.length
    await clock.within(2_000, async () => {
      put({ labels: {} })
      await agent.logged('Workload API call denied', (line) => agent.lines.indexOf(line) >= before)
    })
  })

  it('loses nothing while the API is away, also what was not asked for yet', async () => {
    put({ labels: { app: 'web', tier: 'gold' } })
    await using stream = openStream()
    await stream.becomes(['/web', '/gold'])
    api.failsWith = 503
    api.breakConnections()
    await agent.logged('Pods of this node cannot be listed')
    await using late = openStream()
    await late.becomes(['/web', '/gold'])
    expect(stream.told.length).toBe(1)
    put({ labels: { app: 'web' } })
    api.failsWith = null
    await stream.becomes(['/web'])
    await late.becomes(['/web'])
  })
})

describe('a call that comes before its pod is known', () => {
  it('is held, and answered when the pod shows', async () => {
    api.remove(uid)
    put({ name: 'other' })
    await using stream = openStream()
    setTimeout(() => put({ labels: { app: 'web' } }), 1_000)
    await stream.becomes(['/web'])
    expect(stream.told).toEqual([['/web']])
  })
})
