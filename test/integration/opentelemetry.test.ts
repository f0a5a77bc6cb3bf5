import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test, vi } from 'vitest'
import { AdminClient } from '../../agent/admin/client.js'
import { status } from '../../agent/admin/routes/status.js'
import { WorkloadApiClient } from '../../agent/client/workload-api-client.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { eventually } from '../support/until.js'
import { served, uid } from './resilience/support.js'

vi.setConfig({ testTimeout: 120_000 })

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}
interface OtlpSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
}
interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** Takes OTLP over HTTP in JSON, as a collector does. */
async function receiver() {
  const received: Received[] = []
  let status = 200
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => {
      text += chunk
    })
    request.on('end', () => {
      received.push({ path: request.url ?? '', headers: request.headers, text })
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const at = (path: string) => received.filter((one) => one.path === path)
  const spans = () =>
    at('/v1/traces').flatMap(({ text }) => {
      const { resourceSpans } = JSON.parse(text) as {
        resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[]
      }
      return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
    })
  return {
    endpoint: `http://127.0.0.1:${port}`,
    received,
    at,
    spans,
    answer: (next: number) => {
      status = next
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const of = (span: OtlpSpan | undefined, key: string) =>
  Object.values(span?.attributes.find((attribute) => attribute.key === key)?.value ?? {})[0]

test('an agent exports a trace of a caller from accept to push, of issuance and of requests, and its metrics', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using collector = await receiver()
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const telemetry = {
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_METRICS_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20s3cret-token',
    OTEL_METRIC_EXPORT_INTERVAL: '1000',
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  }
  await using agent = await startAgent({ dir: dir.path, server, telemetry })
  await served(agent.address)
  const client = WorkloadApiClient.connect({ address: agent.address, clock: new SystemClock() })
  await client.fetchX509Svid()
  const [jwt] = await client.fetchJwtSvids({ audience: ['db'] })
  client[Symbol.dispose]()
  await eventually(
    () => collector.at('/v1/metrics'),
    (metrics) => metrics.some(({ text }) => text.includes('icp_agent_pushes_total')),
  )
  await agent.stop()

  const spans = collector.spans()
  const named = (name: string) => spans.filter((span) => span.name === name)
  const push = named('workload.push').find((span) => of(span, 'rpc.method') === 'FetchX509SVID')
  const accept = named('workload.accept').find(({ traceId }) => traceId === push?.traceId)
  expect(of(accept, 'process.pid')).toBe(process.pid)
  const trace = spans.filter(({ traceId }) => traceId === accept?.traceId)
  for (const { parentSpanId } of trace.filter((span) => span !== accept)) expect(parentSpanId).toBe(accept?.spanId)
  const names = new Set(trace.map(({ name }) => name))
  for (const name of ['workload.attest', 'workload.attestor', 'workload.decide', 'workload.serve'])
    expect(names).toContain(name)
  expect(trace.map((span) => of(span, 'icp.attestor'))).toContain('unix')
  expect(named('svid.issue').map((span) => of(span, 'icp.svid'))).toEqual(expect.arrayContaining(['x509', 'jwt']))
  expect(named('icp.request').map((span) => of(span, 'icp.endpoint'))).toEqual(
    expect.arrayContaining(['attest_node', 'entries', 'sign_workload', 'issue_jwt']),
  )
  for (const { startTimeUnixNano, endTimeUnixNano } of spans) {
    expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano)).toBe(true)
  }

  const [metrics] = collector.at('/v1/metrics').slice(-1)
  expect(metrics?.text).toContain('icp_agent_agent_svid_expiry_seconds')
  expect(metrics?.text).toContain('icp_agent_attestation_seconds')
  expect(metrics?.text).toContain('deployment.environment.name')
  for (const { headers } of collector.received) expect(headers.authorization).toBe('Bearer s3cret-token')
  const everything = [...collector.received.map(({ text }) => text), JSON.stringify(agent.lines)].join('\n')
  for (const part of jwt?.token.reveal().split('.') ?? []) expect(everything).not.toContain(part)
  expect(everything).not.toMatch(/s3cret-token|PRIVATE KEY/)
})

test('without the variables nothing is exported, and no trace goes to the ICP server', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using collector = await receiver()
  await using agent = await startAgent({
    dir: dir.path,
    server,
    telemetry: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
  })
  await agent.logged('Node attestation successful')
  await agent.stop()
  expect(collector.received).toEqual([])
  expect(agent.lines.map(({ event }) => event)).not.toContain('Telemetry is exported')
})

test('a receiver that fails is named once, and nothing waits for it', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using collector = await receiver()
  collector.answer(503)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const telemetry = {
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  }
  await using agent = await startAgent({ dir: dir.path, server, telemetry })
  await served(agent.address)
  const line = await agent.logged('Telemetry cannot be exported')
  expect(line).toMatchObject({ level: 'warning', signal: 'traces' })
  using admin = new AdminClient(`${agent.dataDir}/admin.sock`)
  const exported = async () => (await admin.get(status.schema, status.path, new AbortController().signal)).telemetry
  const to = new URL(collector.endpoint).origin
  expect(await exported()).toMatchObject({ traces: { to, trouble: { since: expect.any(String) } }, metrics: null })
  collector.answer(200)
  await agent.logged('Telemetry can be exported again')
  expect(await exported()).toEqual({ traces: { to, trouble: null }, metrics: null })
  // The standard's default; its text fields are in it as they are.
  const [first] = collector.at('/v1/traces')
  expect(first?.headers['content-type']).toBe('application/x-protobuf')
  expect(first?.text).toContain('service.instance.id')
  expect(() => JSON.parse(first?.text ?? '')).toThrow()
})
