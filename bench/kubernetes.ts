import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { liveBytes } from '../test/integration/support/busy-node.js'
import { startKubernetesPart } from '../test/integration/support/kubernetes-part.js'
import { KubernetesApiDouble } from '../test/support/kubernetes-api.js'
import { podObject } from '../test/support/kubernetes-pods.js'

/**
 * The cost of 250 pods for an agent: memory, the first list, changes, and the attestation of a known container. The API
 * runs in another process.
 */
const PODS = 250
const BULK = 24_000
const CALLS = 20_000
const SECONDS = 10

interface Serving {
  readonly address: string
  readonly caPem: string
  readonly bytes: number
}

const nameOf = (i: number) => `pod-${i}`
const labelsOf = (n: number) => ({
  app: 'web',
  'app.kubernetes.io/name': 'web',
  'app.kubernetes.io/instance': 'shop-production',
  'pod-template-hash': '6d4cf56db6',
  n: String(n),
})
const pod = (i: number, n = 0) => {
  const containers = [{ name: 'app0' }, { name: 'istio-proxy' }]
  return podObject({ name: nameOf(i), labels: labelsOf(n), containers, bulk: BULK })
}

async function serve(): Promise<void> {
  const api = await KubernetesApiDouble.start()
  for (let i = 0; i < PODS; i++) api.put(pod(i))
  process.on('message', (n: number) => {
    if (n < 0) process.disconnect()
    else api.put(pod(n % PODS, n))
    if (n % 50 === 0) api.compact()
  })
  process.on('disconnect', () => void api[Symbol.asyncDispose]())
  const bytes = JSON.stringify(pod(0)).length
  process.send?.({ address: api.address, caPem: api.caPem, bytes } satisfies Serving)
}

async function measure(): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), ['serve'])
  const serving = await new Promise<Serving>((resolve) => child.once('message', (sent) => resolve(sent as Serving)))
  const figures: Record<string, string> = {
    'pods, and bytes of each as the API shows it': `${PODS} × ${(serving.bytes / 1024).toFixed(0)} KiB`,
  }
  const before = { heap: liveBytes(), rss: process.memoryUsage().rss }
  const began = performance.now()
  await using part = await startKubernetesPart(serving, 'token-1')
  const last = part.callerIn({ name: nameOf(PODS - 1) })
  await part.attestor.attest(last, AbortSignal.timeout(60_000))
  figures['from start to the last pod known'] = `${(performance.now() - began).toFixed(0)} ms`
  figures['resident memory more, right after the list'] = mebibytes(process.memoryUsage().rss - before.rss)
  figures['heap more, without garbage'] = mebibytes(liveBytes() - before.heap)

  const callers = Array.from({ length: PODS }, (_, i) => part.callerIn({ name: nameOf(i) }))
  const signal = new AbortController().signal
  const times: number[] = []
  for (let i = 0; i < CALLS; i++) {
    const caller = callers[i % PODS]
    if (!caller) continue
    const at = performance.now()
    readFileSync('/proc/self/cgroup', 'utf8')
    await part.attestor.attest(caller, signal)
    times.push(performance.now() - at)
  }
  times.sort((a, b) => a - b)
  const percentile = (p: number) => `${((times[Math.floor(times.length * p)] ?? 0) * 1000).toFixed(0)} µs`
  figures['attestation of a known container, p50, p99, p99.9'] = [0.5, 0.99, 0.999].map(percentile).join(', ')

  const idle = process.cpuUsage()
  await sleep(SECONDS * 1000)
  figures['CPU while nothing changes'] = share(process.cpuUsage(idle))
  const heap = liveBytes()
  const busy = process.cpuUsage()
  for (let n = 1; n <= SECONDS * 5; n++) {
    child.send(n)
    await sleep(200)
  }
  figures['CPU with 5 changes a second'] = share(process.cpuUsage(busy))
  figures['heap more after these changes'] = `${((liveBytes() - heap) / 1024).toFixed(0)} KiB`
  child.send(-1)
  child.disconnect()
  for (const [what, figure] of Object.entries(figures)) process.stdout.write(`${what.padEnd(52)} ${figure}\n`)
}

const mebibytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
const share = ({ user, system }: NodeJS.CpuUsage) => `${((user + system) / (SECONDS * 1e4)).toFixed(2)} % of a core`

await (process.argv[2] === 'serve' ? serve() : measure())
