import { describe, expect, it } from 'vitest'
import { selectorsOf } from '../../../../attestors/docker/container-selectors.js'
import { type Inspected, parseInspected } from '../../../../attestors/docker/inspected.js'
import { documentedSelectors } from '../../../support/documented-selectors.js'

const ID = 'a5'.repeat(32)
const IMAGE = 'c7'.repeat(32)

const container = (over: Partial<Inspected> = {}): Inspected => ({
  id: ID,
  name: 'web-1',
  imageName: 'web:1',
  imageId: IMAGE,
  labels: new Map(),
  imagePlatform: null,
  state: 'running',
  pid: 7,
  startedAt: '',
  ...over,
})
const OPTIONS = { authsecLabels: false, imageLabels: 'separate', tenantId: 't' } as const
const selectors = (over: Partial<Inspected>) => selectorsOf(container(over), { labels: new Map() }, OPTIONS)

describe('the name of an image', () => {
  it.each([
    ['web', 'web:latest'],
    ['web:1.2', 'web:1.2'],
    ['library/web', 'library/web:latest'],
    ['registry.example:5000/web', 'registry.example:5000/web:latest'],
    ['registry.example:5000/web:1.2', 'registry.example:5000/web:1.2'],
    ['localhost/web:1', 'localhost/web:1'],
    [`web@sha256:${IMAGE}`, `web@sha256:${IMAGE}`],
    [`web:1.2@sha256:${IMAGE}`, `web:1.2@sha256:${IMAGE}`],
    // It looks like an id, but is not that of the image.
    ['deadbeef0000', 'deadbeef0000:latest'],
  ])('%s is %s', (imageName, name) => {
    for (const key of ['docker:image-name', 'docker:image_name', 'docker:image']) {
      expect(selectors({ imageName }).selectors.get(key)).toBe(name)
    }
  })

  it.each([['c7c7c7c7c7c7'], [IMAGE], [`sha256:${IMAGE}`], ['']])(
    'is left out where there is none: %s',
    (imageName) => {
      const { selectors: found, notes } = selectors({ imageName })
      expect(found.has('docker:image-name')).toBe(false)
      expect(found.get('docker:image-id')).toBe('c7c7c7c7c7c7')
      expect(notes).toHaveLength(1)
    },
  )
})

describe('docs/attestors/docker.md', () => {
  it('names every selector, and none that does not exist', () => {
    const labels = new Map([
      ['a', 'given'],
      ['b', 'built'],
      ['authsec.ai/client-id', 'c'],
      ['authsec.ai/agent-type', 't'],
    ])
    const image = { labels: new Map([['b', 'built']]) }
    const all = selectorsOf(container({ labels }), image, { ...OPTIONS, authsecLabels: true }).selectors
    const emitted = [...all.keys()].map((key) => key.replace(/^(docker:(?:image-)?label:).*/, '$1<key>'))
    expect([...new Set(emitted)].sort()).toEqual(documentedSelectors('docker'))
  })
})

describe('what is left out', () => {
  it('is an image id that the engine does not show', () => {
    const found = selectors({ imageId: null }).selectors
    expect(found.has('docker:image-id')).toBe(false)
    expect(found.has('docker:image-digest')).toBe(false)
    expect(found.get('docker:image')).toBe('web:1')
  })

  it('are labels without end, and is said', () => {
    const labels = new Map(Array.from({ length: 600 }, (_, i) => [`k${i}`, 'v']))
    labels.set('long', 'v'.repeat(5000))
    const { selectors: found, notes } = selectors({ labels })
    expect([...found.keys()].filter((key) => key.startsWith('docker:label:'))).toHaveLength(512)
    expect(notes.length).toBeGreaterThan(0)
    expect(notes.length).toBeLessThanOrEqual(8)
  })

  it('is no label that has an odd name', () => {
    const labels = new Map([
      ['', 'empty'],
      ['a:b c', 'x'],
    ])
    expect(Object.fromEntries(selectors({ labels }).selectors)).toMatchObject({
      'docker:label:': 'empty',
      'docker:label:a:b c': 'x',
    })
  })
})

describe('the answer of an engine', () => {
  const answer = (state: Record<string, unknown>) =>
    JSON.stringify({
      Id: ID,
      Name: '/web-1',
      Image: `sha256:${IMAGE}`,
      Config: { Image: 'web', Labels: null },
      State: state,
    })

  it.each([
    [{ Running: true, Pid: 7, Status: 'running' }, 'running'],
    [{ Running: true, Paused: true, Pid: 7, Status: 'paused' }, 'running'],
    // As podman has it.
    [{ Running: false, Paused: true, Pid: 7, Status: 'paused' }, 'running'],
    [{ Running: true, Pid: 0, Restarting: true, Status: 'restarting' }, 'starting'],
    [{ Running: false, Pid: 0, Status: 'created' }, 'starting'],
    [{ Running: false, Pid: 0 }, 'starting'],
    [{ Running: false, Pid: 0, Status: 'exited' }, 'ended'],
    [{ Running: false, Pid: 0, Status: 'dead' }, 'ended'],
    [{ Running: false, Pid: 0, Status: 'removing' }, 'ended'],
  ])('%j is %s', (state, is) => {
    expect(parseInspected(answer(state)).state).toBe(is)
  })

  it.each([
    ['an id of another form', answer({ Running: true, Pid: 1 }).replace(ID, 'web')],
    ['a pid that is none', answer({ Running: true, Pid: -1 })],
    ['no state', JSON.stringify({ Id: ID, Name: '/a', Config: { Image: 'web' } })],
    ['labels that are no texts', answer({ Running: true, Pid: 1 }).replace('"Labels":null', '"Labels":{"a":1}')],
    ['null', 'null'],
    ['nothing', ''],
  ])('is refused with %s', (_what, body) => {
    expect(() => parseInspected(body)).toThrow(expect.objectContaining({ code: 'platform.unavailable' }))
  })
})
