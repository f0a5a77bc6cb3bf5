import { describe, expect, it } from 'vitest'
import { publicationOf } from '../../../agent/main/bundle-publication.js'
import { fileEvents } from '../../../agent/observability/file-events.js'
import { KubernetesApi } from '../../../attestors/kubernetes/api.js'
import { KubernetesObjects } from '../../../attestors/kubernetes/objects.js'
import { TestCa } from '../../fakes/ca.js'
import { FakeClock } from '../../fakes/clock.js'
import { json, ScriptedHttp } from '../../fakes/http.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const files = new MemoryFiles()
files.content.set('/var/run/secrets/kubernetes.io/serviceaccount/namespace', Buffer.from('trust'))
const map = { 'config-map': 'spiffe-bundle' }

describe('what the options of publish-bundle say', () => {
  it('is a ConfigMap in the namespace of the pod, with one key', async () => {
    expect(await publicationOf(map, {}, files)).toEqual({
      configMap: 'spiffe-bundle',
      clusterTrustBundle: null,
      pemKey: 'bundle.pem',
      spiffeKey: null,
      federated: [],
      trustDomain: null,
      namespace: 'trust',
      lease: 'icp-agent-bundle-publisher',
    })
    expect((await publicationOf(map, { POD_NAMESPACE: 'other' }, files)).namespace).toBe('other')
  })

  it.each([
    [{}, /--config-map, --cluster-trust-bundle, or both/],
    [{ 'config-map': 'Spiffe' }, /--config-map must be a name/],
    [{ 'config-map': 'a/b' }, /--config-map must be a name/],
    [{ ...map, 'pem-key': '..' }, /--pem-key must be a key/],
    [{ ...map, 'spiffe-key': 'bundle.pem' }, /both go into the key "bundle.pem"/],
    [{ ...map, 'pem-key': 'federated.a.example.pem', federated: ['a.example'] }, /both go into the key/],
    [{ ...map, federated: ['UPPER'] }, /--federated must be a trust domain/],
    [{ ...map, 'trust-domain': 'a.example/path' }, /--trust-domain must be a trust domain/],
    [{ ...map, 'signer-name': 'a.example/b' }, /name it with --cluster-trust-bundle/],
    [{ 'cluster-trust-bundle': 'b', 'signer-name': 'a.example/b' }, /must begin with "a.example:b:"/],
    [{ 'cluster-trust-bundle': 'a:b' }, /--cluster-trust-bundle must be/],
    [{ 'cluster-trust-bundle': 'b', federated: ['a.example'] }, /are about a ConfigMap/],
    [{ ...map, namespace: 'a.b' }, /--namespace must be a namespace/],
    [{ ...map, lease: '-' }, /--lease must be a name/],
  ])('%j is refused', async (options, text) => {
    await expect(publicationOf(options, {}, files)).rejects.toMatchObject({
      code: 'command.misused',
      message: expect.stringMatching(text),
    })
  })
})

describe('objects of Kubernetes', () => {
  const signal = new AbortController().signal
  const object = { collection: '/api/v1/namespaces/a/configmaps', name: 'b', what: 'configmaps/b' }
  const refusal = (code: number) => json(code, { kind: 'Status', code, message: 'the API server says so' })

  async function setUp(...script: ConstructorParameters<typeof ScriptedHttp>) {
    const account = new MemoryFiles()
    account.content.set('/token', Buffer.from('secret-of-the-account'))
    const { pem } = await TestCa.create('cluster', { notBefore: 0, notAfter: 4_000_000_000_000 })
    account.content.set('/ca.crt', Buffer.from(pem))
    const http = new ScriptedHttp(...script)
    const api = new KubernetesApi({
      files: account,
      fileEvents: fileEvents(new RecordedSinks().log, new FakeClock()),
      openHttp: () => http,
      address: 'https://10.96.0.1:443',
      tokenPath: '/token',
      caPath: '/ca.crt',
      caSetting: '--ca-file',
      tokenSetting: '--token-file',
    })
    return { objects: new KubernetesObjects(api, new FakeClock()), http, account }
  }

  it('are read, made and replaced as the API wants it', async () => {
    const { objects, http } = await setUp(refusal(404), json(201, {}), json(200, { data: {} }), json(200, {}))
    expect(await objects.read(object, signal)).toBeNull()
    expect(await objects.create(object, { kind: 'ConfigMap' }, signal)).toBe(true)
    expect(await objects.read(object, signal)).toEqual({ data: {} })
    expect(await objects.replace(object, { kind: 'ConfigMap' }, signal)).toBe(true)
    expect(http.requests.map(({ method, url, body }) => `${method} ${new URL(url).pathname} ${body ?? ''}`)).toEqual([
      'GET /api/v1/namespaces/a/configmaps/b ',
      'POST /api/v1/namespaces/a/configmaps {"kind":"ConfigMap"}',
      'GET /api/v1/namespaces/a/configmaps/b ',
      'PUT /api/v1/namespaces/a/configmaps/b {"kind":"ConfigMap"}',
    ])
    expect(http.openStreams).toBe(0)
  })

  it('that somebody else wrote meanwhile are no error', async () => {
    const { objects } = await setUp(refusal(409), refusal(409), refusal(404))
    expect(await objects.create(object, {}, signal)).toBe(false)
    expect(await objects.replace(object, {}, signal)).toBe(false)
    expect(await objects.replace(object, {}, signal)).toBe(false)
  })

  it('that the account may not touch are an error that names the verb, and not the token', async () => {
    const { objects } = await setUp(refusal(403), refusal(403), refusal(403))
    const failures = [
      await objects.read(object, signal).catch((error: unknown) => String(error)),
      await objects.create(object, {}, signal).catch((error: unknown) => String(error)),
      await objects.replace(object, {}, signal).catch((error: unknown) => String(error)),
    ]
    for (const [i, verb] of ['get on', 'create for', 'update on'].entries()) {
      expect(failures[i]).toContain(`the service account needs the verb ${verb} configmaps/b (the API server says so)`)
      expect(failures[i]).not.toContain('secret-of-the-account')
    }
  })

  it('need a token: the error names the option', async () => {
    const { objects, account } = await setUp()
    account.content.delete('/token')
    await expect(objects.read(object, signal)).rejects.toThrow(/--token-file/)
  })
})
