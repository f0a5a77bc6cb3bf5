import { once } from 'node:events'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type ClientDuplexStream, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
} from '../../../proto/gen/envoy/discovery_pb.js'
import { type Secret, SPIFFECertValidatorConfigSchema } from '../../../proto/gen/envoy/tls_pb.js'
import { until } from '../../support/until.js'
import { same } from './api-world.js'
import { readResponse, Sds, SERVICE, TYPE } from './sds-client.js'
import { SdsWorld } from './sds-world.js'

let world: SdsWorld
beforeEach(async () => {
  world = await SdsWorld.listen()
})
afterEach(() => world[Symbol.asyncDispose]())

function textOf(source: { specifier: { case?: string | undefined; value?: unknown } } | undefined): string {
  return Buffer.from(source?.specifier.value as Uint8Array).toString()
}

/** What a secret holds, in short. */
function content({ type }: Secret): unknown {
  if (type.case === 'tlsCertificate')
    return { chain: textOf(type.value.certificateChain), key: textOf(type.value.privateKey) }
  if (type.case !== 'validationContext') return null
  const { trustedCa, customValidatorConfig } = type.value
  if (trustedCa) return { trustedCa: textOf(trustedCa) }
  expect(customValidatorConfig?.name).toBe('envoy.tls.cert_validator.spiffe')
  const { trustDomains } = fromBinary(
    SPIFFECertValidatorConfigSchema,
    customValidatorConfig?.typedConfig?.value ?? new Uint8Array(),
  )
  return Object.fromEntries(trustDomains.map(({ name, trustBundle }) => [name, textOf(trustBundle)]))
}

const pem = (text: string, label = 'CERTIFICATE') =>
  `-----BEGIN ${label}-----\n${Buffer.from(text).toString('base64')}\n-----END ${label}-----\n`

const fetch = (resourceNames: string[], typeUrl = TYPE) =>
  new Promise<ReturnType<typeof readResponse> | status>((resolve) => {
    const request = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { resourceNames, typeUrl }))
    world.api
      .client()
      .makeUnaryRequest(`${SERVICE}/FetchSecrets`, same, same, Buffer.from(request), (error, message) =>
        resolve(error ? error.code : readResponse(message as Buffer)),
      )
  })

describe('StreamSecrets', () => {
  it('answers every kind of name, any number of them in one request, without a security header', async () => {
    world.show({ a: '1', b: '1' })
    const sds = new Sds(world.api.client())
    const names = ['default', 'ROOTCA', 'ALL', 'spiffe://example.org/b', 'spiffe://example.org', 'spiffe://other.org']
    sds.ask({ resourceNames: names })
    const response = await sds.response(1)
    expect(response.typeUrl).toBe(TYPE)
    expect(response.names).toEqual(names)
    const own = pem('authority example.org')
    const other = pem('authority other.org')
    expect(response.secrets.map(content)).toEqual([
      { chain: pem('certificate of a 1'), key: pem('key of a', 'PRIVATE KEY') },
      { 'example.org': own },
      { 'example.org': own, 'other.org': other },
      { chain: pem('certificate of b 1'), key: pem('key of b', 'PRIVATE KEY') },
      { 'example.org': own },
      { 'other.org': other },
    ])
  })

  it('answers a request without names with everything by SPIFFE ID', async () => {
    world.show({ a: '1', b: '1' })
    const sds = new Sds(world.api.client())
    sds.ask({})
    expect((await sds.response(1)).names).toEqual([
      'spiffe://example.org/a',
      'spiffe://example.org/b',
      'spiffe://example.org',
      'spiffe://other.org',
    ])
  })

  it('pushes to a stream when its own secret changed, with new version and nonce, and is silent otherwise', async () => {
    world.show({ a: '1', b: '1' })
    const client = world.api.client()
    const [first, second, bundle] = [new Sds(client), new Sds(client), new Sds(client)]
    first.ask({ resourceNames: ['default'] })
    second.ask({ resourceNames: ['spiffe://example.org/b'] })
    bundle.ask({ resourceNames: ['ROOTCA'] })
    for (const sds of [first, second, bundle]) await sds.response(1)
    first.ack(['default'])
    world.show({ a: '2', b: '1' })
    const pushed = await first.response(2)
    const [before] = first.responses
    expect(pushed.nonce).not.toBe(before?.nonce)
    expect(pushed.versionInfo).not.toBe(before?.versionInfo)
    world.show({ a: '2', b: '2' })
    await second.response(2)
    await first.settled()
    expect([first, second, bundle].map(({ responses }) => responses.length)).toEqual([3, 2, 1])
  })

  it('logs and counts a NACK with the process and the names, and sends nothing until something changes', async () => {
    world.show({ a: '1' })
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['default'] })
    await sds.response(1)
    sds.ack(['default'], { versionInfo: '', errorDetail: { code: 13, message: 'bad key\n' } })
    await until(() => world.sinks.total('icp_agent_sds_rejected_total', { method: 'StreamSecrets' }) === 1)
    const line = world.sinks.lines.find(({ event }) => event === 'SDS client rejected secrets')
    expect(line).toMatchObject({ level: 'error', fields: { pid: world.pid, names: ['default'], code: 13 } })
    expect(sds.responses).toHaveLength(1)
    world.show({ a: '2' })
    await sds.response(2)
  })

  it('holds a stream whose identity is not there yet, for as long as it takes, and says why', async () => {
    world.showNothing()
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['default'] })
    await until(() => world.sinks.lines.some(({ event }) => event === 'Workload API call denied'))
    await world.clock.advance('1h')
    expect(sds.status).toBeNull()
    world.show({ a: null })
    await world.clock.advance('1h')
    world.show({ a: '1' })
    expect((await sds.response(1)).names).toEqual(['default'])
  })

  it('gives bundles to whoever has an entry, before its SVID is issued', async () => {
    world.show({ a: null })
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['default', 'ROOTCA'] })
    expect((await sds.response(1)).names).toEqual(['ROOTCA'])
    world.show({ a: '1' })
    expect((await sds.response(2)).names).toEqual(['default', 'ROOTCA'])
  })

  it('answers the right names beside wrong ones, and tells of those that nobody can get', async () => {
    world.show({ a: '1' })
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['nonsense', 'spiffe://example.org/other', 'default'] })
    expect((await sds.response(1)).names).toEqual(['default'])
    const line = world.sinks.lines.find(({ event }) => event === 'SDS client requests a name that can never be served')
    expect(line).toMatchObject({ level: 'warn', fields: { name: 'nonsense', pid: world.pid } })
    world.show({ a: '1', other: '1' })
    expect((await sds.response(2)).names).toEqual(['spiffe://example.org/other', 'default'])
  })

  it('ends with PermissionDenied when the identity is taken away, and holds the next stream', async () => {
    world.show({ a: '1' })
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['default'] })
    await sds.response(1)
    world.showNothing()
    expect(await sds.ended()).toBe(status.PERMISSION_DENIED)
    const again = new Sds(world.api.client())
    again.ask({ resourceNames: ['default'], versionInfo: 'of before' })
    world.show({ a: '1' })
    await again.response(1)
  })

  it.each<[string, MessageInitShape<typeof DiscoveryRequestSchema>['node']]>([
    [
      'says so (boolean)',
      { metadata: { fields: { disable_spiffe_cert_validation: { kind: { case: 'boolValue', value: true } } } } },
    ],
    [
      'says so (text)',
      { metadata: { fields: { disable_spiffe_cert_validation: { kind: { case: 'stringValue', value: 'true' } } } } },
    ],
    ['is Envoy 1.17', { userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 17 } } }],
  ])('gives plain CA certificates where the node %s', async (_how, node) => {
    world.show({ a: '1' })
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['ROOTCA', 'ALL'], node })
    const response = await sds.response(1)
    // What is said of the node in the first request counts for later ones.
    expect(response.secrets.map(content)).toEqual([{ trustedCa: pem('authority example.org') }])
    sds.ack(['spiffe://other.org'])
    expect((await sds.response(2)).secrets.map(content)).toEqual([{ trustedCa: pem('authority other.org') }])
  })

  it('refuses another type of resource, and a request that cannot be read', async () => {
    world.show({ a: '1' })
    const other = new Sds(world.api.client())
    other.ask({ resourceNames: ['default'], typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster' })
    expect(await other.ended()).toBe(status.INVALID_ARGUMENT)
    const garbage = new Sds(world.api.client())
    garbage.call.write(Buffer.from([0xff, 0xff, 0xff]))
    expect(await garbage.ended()).toBe(status.INVALID_ARGUMENT)
  })

  it('looks at the process before each push', async () => {
    world.show({ a: '1' })
    const sds = new Sds(world.api.client())
    sds.ask({ resourceNames: ['default'] })
    await sds.response(1)
    world.replaced()
    world.show({ a: '2' })
    expect(await sds.ended()).toBe(status.PERMISSION_DENIED)
    expect(sds.responses).toHaveLength(1)
  })

  it('follows a reload: bundles for callers without an entry, while they are allowed', async () => {
    world.showNothing()
    const client = world.api.client()
    const [domain, all, svid] = [new Sds(client), new Sds(client), new Sds(client)]
    domain.ask({ resourceNames: ['spiffe://other.org'] })
    all.ask({ resourceNames: ['ALL', 'default'] })
    svid.ask({ resourceNames: ['default'] })
    await until(() => world.api.streams.size === 3)
    expect(await fetch(['spiffe://other.org'])).toBe(status.PERMISSION_DENIED)
    world.reload({ allowUnauthenticatedVerifiers: true })
    expect((await domain.response(1)).names).toEqual(['spiffe://other.org'])
    expect((await all.response(1)).names).toEqual(['ALL'])
    expect(await fetch(['spiffe://other.org', 'default'])).toMatchObject({ names: ['spiffe://other.org'] })
    world.reload({ allowUnauthenticatedVerifiers: false })
    for (const sds of [domain, all]) expect(await sds.ended()).toBe(status.PERMISSION_DENIED)
    expect(await fetch(['spiffe://other.org'])).toBe(status.PERMISSION_DENIED)
    expect([svid.status, svid.responses]).toEqual([null, []])
  })

  it('ends with Unavailable when the agent stops', async () => {
    world.show({ a: '1' })
    const held = new Sds(world.api.client())
    held.ask({ resourceNames: ['nonsense'] })
    const served = new Sds(world.api.client())
    served.ask({ resourceNames: ['default'] })
    await served.response(1)
    world.api.streams.stop()
    expect(await served.ended()).toBe(status.UNAVAILABLE)
    expect(await held.ended()).toBe(status.UNAVAILABLE)
  })
})

describe('FetchSecrets', () => {
  it('answers once, with what there is', async () => {
    world.show({ a: '1' })
    expect(await fetch(['ALL', 'default', 'nonsense'])).toMatchObject({ names: ['ALL', 'default'], typeUrl: TYPE })
    expect(await fetch([])).toMatchObject({
      names: ['spiffe://example.org/a', 'spiffe://example.org', 'spiffe://other.org'],
    })
    await until(() => world.api.callsRunning === 0)
  })

  it('is held for an SVID that is not issued yet, as long as a call of the Workload API', async () => {
    world.show({ a: null })
    const late = fetch(['default'])
    await until(() => world.api.callsRunning === 1)
    world.show({ a: '1' })
    expect(await late).toMatchObject({ names: ['default'] })
    world.show({ a: null })
    const never = fetch(['default'])
    await until(() => world.api.callsRunning === 1)
    await world.clock.advance('4s')
    expect(await never).toBe(status.UNAVAILABLE)
    world.reload({ holdMs: 0 })
    expect(await fetch(['default'])).toBe(status.UNAVAILABLE)
  })

  it('is refused without an identity, for a name that there cannot be, and for another type', async () => {
    world.show({ a: '1' })
    expect(await fetch(['nonsense'])).toBe(status.INVALID_ARGUMENT)
    expect(await fetch(['default'], 'type.googleapis.com/other')).toBe(status.INVALID_ARGUMENT)
    expect(await fetch(['spiffe://example.org/other'])).toBe(status.PERMISSION_DENIED)
    world.showNothing()
    expect(await fetch(['default'])).toBe(status.PERMISSION_DENIED)
  })
})

describe('DeltaSecrets', () => {
  const ask = (
    call: ClientDuplexStream<Buffer, Buffer>,
    request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>,
  ) => {
    const message = create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE, ...request })
    call.write(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)))
  }

  it('sends each name once, and again when it changed', async () => {
    world.show({ a: '1' })
    const call = world.api.client().makeBidiStreamRequest<Buffer, Buffer>(`${SERVICE}/DeltaSecrets`, same, same)
    call.on('error', () => undefined)
    const next = async () => fromBinary(DeltaDiscoveryResponseSchema, (await once(call, 'data'))[0] as Buffer)
    ask(call, { resourceNamesSubscribe: ['default', 'spiffe://example.org/late'] })
    const first = await next()
    expect(first.resources.map(({ name }) => name)).toEqual(['default'])
    expect(first.typeUrl).toBe(TYPE)
    ask(call, { resourceNamesSubscribe: ['ROOTCA'], responseNonce: first.nonce })
    expect((await next()).resources.map(({ name }) => name)).toEqual(['ROOTCA'])
    const pushed = next()
    world.show({ a: '2' })
    const { resources, removedResources } = await pushed
    expect(resources.map(({ name }) => name)).toEqual(['default'])
    expect(resources[0]?.version).not.toBe(first.resources[0]?.version)
    expect(removedResources).toEqual([])
    call.cancel()
  })
})
