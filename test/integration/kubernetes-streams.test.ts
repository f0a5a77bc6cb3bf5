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
    /** Milliseconds until the last message is this. */
    async becomes(names: readonly string[]): Promise<number> {
      const began = performance.now()
      await new Promise<void>((resolve) => {
        const look = () => {
          if (JSON.stringify(told.at(-1)) !== JSON.stringify(names)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
      return performance.now() - began
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
    put({ labels: { app: 'web', tier: 'gold' } })
    expect(await stream.becomes(['/web', '/gold'])).toBeLessThan(2_000)
    put({ labels: { tier: 'gold' } })
    expect(await stream.becomes(['/gold'])).toBeLessThan(2_000)
    put({ labels: { app: 'web' } })
    expect(await stream.becomes(['/web'])).toBeLessThan(2_000)
  })

  it('loses its last identity within 2 s of the change: the caller is denied', async () => {
    put({ labels: { app: 'web' } })
    await using stream = openStream()
    await stream.becomes(['/web'])
    const [began, before] = [performance.now(), agent.lines.length]
    put({ labels: {} })
    await agent.logged('Workload API call denied', (line) => agent.lines.indexOf(line) >= before)
    expect(performance.now() - began).toBeLessThan(2_000)
  })

  it('loses nothing while the API is away, also what was not asked for yet', async () => {
    put({ labels: { app: 'web', tier: 'gold' } })
    await using stream = openStream()
    await stream.becomes(['/web', '/gold'])
    api.failsWith = 503
    api.breakConnections()
    await agent.logged('Kubernetes does not say which pods run here')
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
