import { describe, expect, it } from 'vitest'
import { sortLabels } from '../../../../attestors/docker/image-labels.js'
import { settle } from '../../../fakes/clock.js'
import { ID, machine, OTHER, TENANT } from './setting.js'

const labelsIn = (selectors: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(selectors).filter(([key]) => /^docker:(?:image-)?label:/.test(key)))
const sorted = (labels: Record<string, string>, image: Record<string, string>) => {
  const { operator, image: inherited } = sortLabels(new Map(Object.entries(labels)), new Map(Object.entries(image)))
  return { operator: Object.fromEntries(operator), image: Object.fromEntries(inherited) }
}

describe('a label of the image', () => {
  it('is no label that the container was given', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID, { labels: { team: 'red' }, imageLabels: { app: 'payments' } })
    expect(labelsIn(await selectors(inContainer(ID)))).toEqual({
      'docker:label:team': 'red',
      'docker:image-label:app': 'payments',
    })
  })

  it('gives way to another value that the container was given', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID, { labels: { app: 'web' }, imageLabels: { app: 'payments' } })
    expect(labelsIn(await selectors(inContainer(ID)))).toEqual({ 'docker:label:app': 'web' })
  })

  it('is one that the container was given, where the operator wants that', async () => {
    const { engine, selectors, inContainer } = machine({ imageLabels: 'merged' })
    engine.start(ID, { labels: { team: 'red' }, imageLabels: { app: 'payments' } })
    expect(labelsIn(await selectors(inContainer(ID)))).toEqual({
      'docker:label:team': 'red',
      'docker:label:app': 'payments',
    })
    expect(engine.imageInspections).toBe(0)
  })

  it.each(['separate', 'merged'] as const)('names no AI agent: %s', async (imageLabels) => {
    const { engine, selectors, inContainer } = machine({ authsecLabels: true, imageLabels })
    engine.start(ID, { imageLabels: { 'authsec.ai/client-id': 'client-7', 'authsec.ai/agent-type': 'researcher' } })
    engine.start(OTHER, {
      labels: { 'authsec.ai/client-id': 'client-8' },
      imageLabels: { 'authsec.ai/agent-type': 'researcher' },
    })
    const agentIn = async (id: string) =>
      Object.fromEntries(Object.entries(await selectors(inContainer(id))).filter(([key]) => key.startsWith('authsec:')))
    expect(await agentIn(ID)).toEqual({})
    expect(await agentIn(OTHER)).toEqual({
      'authsec:client_id': 'client-8',
      'authsec:tenant_id': TENANT,
      'authsec:workspace_id': TENANT,
    })
  })

  it('is asked for once an image, and not at all where a container has no labels', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID, { imageLabels: { app: 'payments' } })
    engine.start(OTHER, { imageLabels: { app: 'payments' } })
    await selectors(inContainer(ID))
    await selectors(inContainer(OTHER))
    expect(engine.imageInspections).toBe(1)
    const bare = machine()
    bare.engine.start(ID)
    await bare.selectors(bare.inContainer(ID))
    expect(bare.engine.imageInspections).toBe(0)
  })
})

describe('labels of Compose', () => {
  const COMPOSE = { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web' }
  const HASH = { 'com.docker.compose.config-hash': 'ab12' }

  it('count where Compose made the container, also of an image that it built', () => {
    expect(sorted({ ...COMPOSE, ...HASH }, COMPOSE)).toEqual({ operator: { ...COMPOSE, ...HASH }, image: {} })
  })

  it('of the image do not count in a container that somebody else made', () => {
    expect(sorted(COMPOSE, COMPOSE)).toEqual({ operator: {}, image: COMPOSE })
  })

  it('do not count where the image pretends that Compose made the container', () => {
    const all = { ...COMPOSE, ...HASH }
    expect(sorted(all, all)).toEqual({ operator: {}, image: all })
    const other = { 'com.docker.compose.config-hash': 'cd34' }
    expect(sorted({ ...COMPOSE, ...HASH }, { ...COMPOSE, ...other })).toEqual({ operator: HASH, image: COMPOSE })
  })

  it('that Compose never writes are the image’s', () => {
    const image = { 'com.docker.compose.payments': 'yes' }
    expect(sorted({ ...HASH, ...image }, image)).toEqual({ operator: HASH, image })
  })
})

describe('labels of an image that cannot be read', () => {
  it.each([
    ['a proxy refuses', { status: 403, body: 'forbidden' }],
    ['the image was removed', { status: 404, body: '{"message":"No such image"}' }],
    ['the engine fails', { status: 500 }],
    ['the answer is none', { status: 200, body: '[]' }],
    ['labels are no texts', { status: 200, body: '{"Config":{"Labels":{"app":1}}}' }],
  ])('make labels unavailable, and nothing else: %s', async (_why, mood) => {
    const { engine, attest, inContainer, sinks } = machine()
    engine.start(ID, { labels: { team: 'red' }, imageLabels: { app: 'payments' } })
    engine.imageMood = mood
    const { selectors, unavailable, notes } = await attest(inContainer(ID))
    expect(labelsIn(Object.fromEntries(selectors))).toEqual({})
    expect(selectors.get('docker:container-id')).toBe(ID)
    expect(unavailable).toEqual(['docker'])
    expect(notes.map(({ text }) => text).join()).toContain('labels are unavailable')
    await attest(inContainer(ID))
    expect(sinks.events('warn')).toEqual([
      'Labels of an image cannot be read; selectors on labels of its containers are unavailable',
    ])
  })

  it('are asked for again after a while, and what they say counts', async () => {
    const { engine, clock, attest, inContainer } = machine()
    engine.start(ID, { labels: { team: 'red' } })
    engine.imageMood = { status: 403 }
    await attest(inContainer(ID))
    await attest(inContainer(ID))
    expect(engine.imageInspections).toBe(1)
    engine.imageMood = null
    await clock.advance('5s')
    const { selectors, unavailable } = await attest(inContainer(ID))
    expect(selectors.get('docker:label:team')).toBe('red')
    expect(unavailable).toEqual([])
  })

  it('are not missed by a container without labels', async () => {
    const { engine, attest, inContainer } = machine()
    engine.start(ID)
    engine.imageMood = { status: 403 }
    expect((await attest(inContainer(ID))).unavailable).toEqual([])
  })

  it('were known before, and stay so when the image is removed', async () => {
    const { engine, clock, run, selectors, inContainer } = machine()
    await using _running = await run()
    engine.start(ID, { labels: { team: 'red' } })
    await selectors(inContainer(ID))
    engine.imageMood = { status: 404 }
    engine.rename(ID, 'renamed')
    await settle()
    await clock.advance('1m')
    expect(await selectors(inContainer(ID))).toMatchObject({
      'docker:label:team': 'red',
      'docker:container-name': 'renamed',
    })
  })
})

describe('the image of a container', () => {
  it('is asked about by its id and, where several platforms have one, by that which runs', async () => {
    const { engine, attest, inContainer } = machine()
    const platform = { architecture: 'arm64', os: 'linux' }
    engine.start(ID, { labels: { team: 'red' }, platform })
    await attest(inContainer(ID))
    const asked = engine.requests.map(({ url }) => url).filter((url) => url.includes('/images/'))
    expect(asked).toEqual([
      `http://localhost/images/sha256:${'f0'.repeat(32)}/json?platform=${encodeURIComponent(JSON.stringify(platform))}`,
    ])
  })

  it('is none for a container of a directory, whose labels are all its own', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID, { labels: { team: 'red' }, image: '', imageId: '' })
    expect(labelsIn(await selectors(inContainer(ID)))).toEqual({ 'docker:label:team': 'red' })
    expect(engine.imageInspections).toBe(0)
  })

  it('that the engine does not name makes labels unavailable', async () => {
    const { engine, attest, inContainer } = machine()
    engine.start(ID, { labels: { team: 'red' }, imageId: '' })
    expect((await attest(inContainer(ID))).unavailable).toEqual(['docker'])
  })
})
