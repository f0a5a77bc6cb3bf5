import { lstatSync } from 'node:fs'
import { connect, constants } from 'node:http2'
import { connect as dial } from 'node:net'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { loadConfig } from '../../agent/config/load.js'
import { Disk } from '../../agent/platform/disk.js'
import * as v1 from '../../proto/gen/grpc/reflection_v1_pb.js'
import { SpiffeWorkloadAPI } from '../../proto/gen/spiffe/workload_pb.js'
import { TENANT } from '../support/agent.js'
import { callUnary, openStream, SPIFFE } from '../support/raw-stream.js'
import { codeOf, first, SERVICE, X509Watch } from './call.js'
import { DECODE } from './decode.js'
import { line } from './line.js'

const pathOf = (address: string) => address.replace('unix://', '')
const WRONG_HEADERS = [{}, ...['True', 'TRUE', '1', ' ', 'true,true', 'false'].map(header), header(['true', 'true'])]
const UNARY = new Set(['FetchJWTSVID', 'ValidateJWTSVID'])
const REFLECTION = ['/grpc.reflection.v1.ServerReflection', '/grpc.reflection.v1alpha.ServerReflection']

function header(value: string | string[]) {
  return { 'workload.spiffe.io': value }
}

/** The status of a method of the standard service that is called with this metadata. */
async function callCode(
  address: string,
  method: string,
  metadata: Record<string, string | string[]>,
  request?: Uint8Array,
): Promise<status> {
  const options = { metadata, ...(request ? { request } : {}) }
  if (UNARY.has(method)) return await codeOf(callUnary(address, `${SPIFFE}/${method}`, options))
  using stream = openStream(address, `${SPIFFE}/${method}`, options)
  return await codeOf(stream.next())
}

/** What reflection of one version answers to one request. */
async function reflected(address: string, service: string, request: v1.ServerReflectionRequest['messageRequest']) {
  const schema = v1.ServerReflectionRequestSchema
  const bytes = toBinary(schema, create(schema, { messageRequest: request }))
  using stream = openStream(address, `${service}/ServerReflectionInfo`, { request: bytes })
  return fromBinary(v1.ServerReflectionResponseSchema, await stream.next()).messageResponse
}

async function services(address: string, service: string): Promise<string[]> {
  const answer = await reflected(address, service, { case: 'listServices', value: '' })
  return answer.case === 'listServicesResponse' ? answer.value.service.map(({ name }) => name) : []
}

line('EP-01', async ({ address }) => {
  const session = connect('http://localhost', { createConnection: () => dial(pathOf(address)) })
  try {
    const request = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: `${SPIFFE}/FetchX509SVID`,
      'content-type': 'application/grpc',
      te: 'trailers',
      'workload.spiffe.io': 'true',
    })
    request.end(Buffer.alloc(5))
    const [headers, data] = await Promise.all([
      new Promise<Record<string, unknown>>((resolve) => request.once('response', resolve)),
      new Promise<Buffer>((resolve) => request.once('data', resolve)),
    ])
    expect(headers).toMatchObject({ ':status': 200, 'content-type': expect.stringMatching(/^application\/grpc/) })
    // Not compressed, and as long as it says.
    expect([data[0], data.readUInt32BE(1)]).toEqual([0, data.length - 5])
  } finally {
    session.destroy()
  }
})

line('EP-02', async ({ address }) => {
  expect(address).toMatch(/^unix:\/\//)
  for (const socket of ['tcp://0.0.0.0:8081', 'tcp://127.0.0.1:8081']) {
    const env = { ICP_AGENT_AGENT__TENANT_ID: TENANT, ICP_AGENT_AGENT__SOCKET_PATH: socket }
    const around = { env, hostname: 'h', insideContainer: false, files: new Disk() }
    const loading = loadConfig({ path: '/nowhere/config.yaml', ...around })
    await expect(loading, socket).rejects.toMatchObject({ code: 'config.invalid' })
  }
})

line('EP-03', async ({ address }) => {
  expect(lstatSync(pathOf(address)).isSocket()).toBe(true)
})

line('EP-04', async ({ address, dialects }) => {
  for (const dialect of dialects) expect((await first(new X509Watch(address, dialect))).svids).not.toEqual([])
})

line('EP-05', async ({ address, dialects }) => {
  const claims = {
    ...{ 'x-pid': '1', 'x-uid': '0', 'x-k8s-namespace': 'kube-system', 'x-k8s-pod-name': 'admin' },
    ...{
      'x-docker-container-id': 'f'.repeat(64),
      authorization: 'Bearer spiffe://admin',
      'x-spiffe-id': 'spiffe://admin',
    },
  }
  for (const dialect of dialects) {
    const { path, metadata } = SERVICE[dialect]
    const ids = (message: Buffer) => DECODE[dialect].x509(message).svids.map(({ spiffeId }) => spiffeId)
    using plain = openStream(address, `${path}/FetchX509SVID`, { metadata })
    using claiming = openStream(address, `${path}/FetchX509SVID`, { metadata: { ...metadata, ...claims } })
    expect(ids(await claiming.next())).toEqual(ids(await plain.next()))
  }
})

line('EP-06', async ({ address }) => {
  expect(await callCode(address, 'FetchX509SVID', header('true'))).toBe(status.OK)
  for (const value of ['True', 'TRUE', 'tRUE', '1', 'yes', 'false']) {
    expect(await callCode(address, 'FetchX509SVID', header(value)), value).toBe(status.INVALID_ARGUMENT)
  }
})

line('EP-07', async ({ address }) => {
  const garbage = Buffer.from('ffffffffff', 'hex')
  for (const { name } of SpiffeWorkloadAPI.methods) {
    for (const metadata of WRONG_HEADERS) {
      const refused = await callCode(address, name, metadata)
      expect(refused, `${name} ${JSON.stringify(metadata)}`).toBe(status.INVALID_ARGUMENT)
    }
    expect(await callCode(address, name, {}, garbage), `${name} with garbage`).toBe(status.INVALID_ARGUMENT)
  }
})

line('EP-08', async ({ address }) => {
  const names = (await Promise.all(REFLECTION.map((service) => services(address, service)))).flat()
  expect(names).toContain('SpiffeWorkloadAPI')
  if (names.includes('grpc.health.v1.Health')) {
    expect(await codeOf(callUnary(address, '/grpc.health.v1.Health/Check'))).toBe(status.OK)
  }
})

line('EP-09', async ({ address }) => {
  const names = await services(address, REFLECTION[0] ?? '')
  expect(new Set(names).size).toBe(names.length)
  const symbol = { case: 'fileContainingSymbol', value: 'SpiffeWorkloadAPI' } as const
  const answer = await reflected(address, REFLECTION[0] ?? '', symbol)
  if (answer.case !== 'fileDescriptorResponse') throw new Error('no descriptor')
  const files = answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
  const service = files
    .flatMap((file) => (file.package === '' ? file.service : []))
    .find((s) => s.name === SPIFFE.slice(1))
  const offered = service?.method.map(({ name }) => name) ?? []
  expect(offered.slice(0, 5).sort()).toEqual(
    SpiffeWorkloadAPI.methods
      .slice(0, 5)
      .map(({ name }) => name)
      .sort(),
  )
  for (const name of offered) expect(SpiffeWorkloadAPI.methods.map((method) => method.name)).toContain(name)
})

line('EP-10', async ({ address }) => {
  for (const service of REFLECTION) expect(await services(address, service)).toContain('SpiffeWorkloadAPI')
})

line('EP-11', async ({ address }) => {
  const methods = ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTSVID', 'FetchJWTBundles', 'ValidateJWTSVID']
  for (const method of methods) {
    expect(await callCode(address, method, header('true')), method).not.toBe(status.UNIMPLEMENTED)
  }
})

line('EP-12', async ({ address }) => {
  for (const method of ['FetchWITSVID', 'FetchWITBundles', 'FetchNothing']) {
    expect(await callCode(address, method, header('true')), method).toBe(status.UNIMPLEMENTED)
  }
  expect(await codeOf(callUnary(address, '/NoSuchService/Method'))).toBe(status.UNIMPLEMENTED)
})
