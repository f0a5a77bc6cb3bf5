import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { first, X509Watch } from '../conformance/call.js'
import { type Scene, startScene } from '../conformance/scene.js'
import { callHeaders, END_HEADERS, END_STREAM, frame, headerBlock, RawClient, TYPE } from './http2.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** What may be left of a flood when it is over. */
const MAX_GROWTH = 48 * 1024 * 1024

let scene: Scene

beforeAll(async () => {
  scene = await startScene({
    WORKLOAD_API__LIMITS__CONNECTIONS_PER_PID: '1000',
    // A second of real time: waits take a fifth here.
    WORKLOAD_API__LIMITS__IDLE_CONNECTION: '5s',
  })
  for (let i = 0; i < 20; i++) await serves()
})
afterAll(async () => await scene[Symbol.asyncDispose]())

async function serves(): Promise<void> {
  const { svids } = await first(new X509Watch(scene.address, 'spiffe'))
  expect(svids.map(({ spiffeId }) => spiffeId)).toEqual([scene.web])
}

function heap(): number {
  collect()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

/** Others are served while it lasts; when it is over, connections and memory are what they were. */
async function floodedBy(
  flood: (client: RawClient) => Promise<void>,
  { clients = 2, settings = Buffer.alloc(0) } = {},
): Promise<void> {
  const before = heap()
  let over = false
  let served = 0
  const bystander = (async () => {
    while (!over || served === 0) {
      await serves()
      served++
    }
  })()
  const attackers = Array.from({ length: clients }, async () => {
    using client = new RawClient(scene.address)
    await client.begin(settings)
    await flood(client)
  })
  await Promise.all(attackers)
  over = true
  await bystander
  await serves()
  await expect.poll(() => scene.figure('icp_agent_connections')).toBeLessThanOrEqual(2)
  expect(heap() - before).toBeLessThan(MAX_GROWTH)
  expect(scene.agent.lines.filter(({ level }) => level === 'error')).toEqual([])
}

const times = (count: number, make: (i: number) => Buffer) =>
  Array.from({ length: Math.ceil(count / 100) }, (_, chunk) =>
    Buffer.concat(Array.from({ length: 100 }, (_one, i) => make(chunk * 100 + i))),
  )
const stream = (i: number) => 2 * i + 1

test('calls that are reset as soon as they are made', async () => {
  const block = callHeaders('FetchX509SVID')
  const cancel = Buffer.from('00000008', 'hex')
  await floodedBy((client) =>
    client.write(
      ...times(5_000, (i) =>
        Buffer.concat([
          frame(TYPE.headers, END_HEADERS | END_STREAM, stream(i), block),
          frame(TYPE.rst, 0, stream(i), cancel),
        ]),
      ),
    ),
  )
})

test('settings and pings without end', async () => {
  const setting = Buffer.from('000400010000', 'hex')
  await floodedBy((client) => client.write(...times(10_000, () => frame(TYPE.settings, 0, 0, setting))))
  await floodedBy((client) => client.write(...times(10_000, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8)))))
})

test('headers that never end, and headers without number or bound', async () => {
  const piece = headerBlock([['x-pad', 'x'.repeat(16_000)]])
  // The second as gRPC for Java begins, whose requests are rewritten.
  for (const settings of [Buffer.alloc(0), Buffer.from('000300000000', 'hex')]) {
    const endless = async (client: RawClient) => {
      await client.write(frame(TYPE.headers, END_STREAM, 1, callHeaders('FetchX509SVID')))
      await client.write(...Array.from({ length: 500 }, () => frame(TYPE.continuation, 0, 1, piece)))
    }
    await floodedBy(endless, { settings })
  }
  await floodedBy(async (client) => {
    const many = headerBlock(Array.from({ length: 2_000 }, (_, i) => [`x-${i}`, 'y'] as const))
    for (let i = 0; i < 20; i++) {
      await client.write(frame(TYPE.headers, 0, stream(i), callHeaders('FetchX509SVID')))
      await client.write(frame(TYPE.continuation, END_HEADERS, stream(i), many.subarray(0, 16_000)))
    }
  })
})

test('empty data, and windows that overflow', async () => {
  await floodedBy(async (client) => {
    await client.write(frame(TYPE.headers, END_HEADERS, 1, callHeaders('FetchX509SVID')))
    await client.write(...times(10_000, () => frame(TYPE.data, 0, 1)))
  })
  await floodedBy((client) =>
    client.write(...times(1_000, () => frame(TYPE.windowUpdate, 0, 0, Buffer.from('7fffffff', 'hex')))),
  )
})

test('calls whose requests never come', async () => {
  await floodedBy(
    async (client) => {
      await client.write(
        ...times(100, (i) =>
          frame(TYPE.headers, END_HEADERS, stream(i), callHeaders('FetchJWTSVID', [['x-i', `${i}`]])),
        ),
      )
      // Nothing runs on the connection, however many calls were begun: it is idle.
      await client.closed
    },
    { clients: 5 },
  )
})

test('two hundred connections that say nothing, or half of what they should', async () => {
  const silent = Array.from({ length: 200 }, () => new RawClient(scene.address))
  await Promise.all(silent.map((client, i) => (i % 2 ? client.write(Buffer.from('PRI * HT')) : undefined)))
  await serves()
  await Promise.all(silent.map(({ closed }) => closed))
  await serves()
})

test('readers that never read', async () => {
  const pings = times(10_000, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8)))
  const before = heap()
  const clients = Array.from({ length: 5 }, () => new RawClient(scene.address, { reads: false }))
  await Promise.all(clients.map((client) => client.begin()))
  // Answers to them would pile up; they are written for as long as the agent reads.
  const writing = Promise.all(clients.map((client) => client.write(...pings)))
  await Promise.race([writing, new Promise((resolve) => setTimeout(resolve, 500))])
  await serves()
  expect(heap() - before).toBeLessThan(MAX_GROWTH)
  for (const client of clients) client[Symbol.dispose]()
  await writing
  await serves()
})
