import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../agent/errors.js'
import type { Pod, PodContainer } from '../../../attestors/kubernetes/pod.js'
import { placeFinder } from '../../../attestors/places.js'

const [WEB, PROXY, PAUSE] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]
const UID = '11111111-2222-4333-8444-555555555555'
const HASH = 'd'.repeat(32)
const OWN = { ownCgroup: '0::/system.slice/icp-agent.service\n' }
const never = new AbortController().signal

const container = (id: string, name: string): PodContainer => ({ id, name, image: 'i', imageId: '' })
const pod: Pod = {
  uid: UID,
  hash: null,
  namespace: 'shop',
  name: 'web',
  serviceAccount: 'default',
  nodeName: 'n',
  labels: new Map(),
  annotations: new Map(),
  owners: [],
  containers: [container(WEB, 'web'), container(PROXY, 'proxy')],
  starting: false,
}
const inPod = (uid: string, id: string) => `0::/kubepods/besteffort/pod${uid}/${id}\n`

const thrown = async (work: () => unknown) => {
  try {
    await work()
    return null
  } catch (error) {
    return codeOf(error)
  }
}

describe('a container', () => {
  it('is known by its id or the beginning of it, wherever a control group names it', () => {
    const { containerOf } = placeFinder(OWN, null).container(WEB.slice(0, 12))
    expect(containerOf(`0::/system.slice/docker-${WEB}.scope\n`)).toEqual({ id: WEB, name: null })
    // One within another: both are containers.
    expect(containerOf(`0::/docker/${PROXY}/docker/${WEB}\n`)).toEqual({ id: WEB, name: null })
    expect(containerOf(`0::/system.slice/docker-${PROXY}.scope\n`)).toBeNull()
    expect(containerOf('0::/user.slice\n')).toBeNull()
    expect(containerOf('')).toBeNull()
  })

  it('is not known by less than docker ps shows, nor by its name', async () => {
    for (const id of ['', 'a'.repeat(11), 'web', 'A'.repeat(64), 'a'.repeat(65)]) {
      expect(await thrown(() => placeFinder(OWN, null).container(id))).toBe('request.invalid')
    }
  })
})

describe('a pod', () => {
  const named = (...pods: Pod[]) =>
    placeFinder(OWN, { podsNamed: async ({ namespace, name }) => (`${namespace}/${name}` === 'shop/web' ? pods : []) })

  it('has the processes in the containers of its status, not its pause container, and no others', async () => {
    const { containerOf, how } = await named(pod).pod({ namespace: 'shop', name: 'web' }, never)
    expect(how).toContain('web, proxy')
    expect(containerOf(inPod(UID, WEB))).toEqual({ id: WEB, name: 'web' })
    expect(containerOf(inPod(UID, PROXY))).toEqual({ id: PROXY, name: 'proxy' })
    expect(containerOf(inPod(UID, PAUSE))).toBeNull()
    expect(containerOf(inPod(UID.replaceAll('1', '9'), WEB))).toBeNull()
    // Anybody may give a group of his own any name.
    expect(containerOf(`0::/user.slice/user-1000.slice${inPod(UID, WEB).slice(3)}`)).toBeNull()
  })

  it('that is static is known by its hash', async () => {
    const found = await named({ ...pod, hash: HASH }).pod({ namespace: 'shop', name: 'web' }, never)
    expect(found.containerOf(inPod(HASH, WEB))).toEqual({ id: WEB, name: 'web' })
  })

  it('that is ending and its successor of the same name are both meant', async () => {
    const other = { ...pod, uid: UID.replaceAll('1', '2'), containers: [container(PAUSE, 'web')] }
    const { containerOf } = await named(pod, other).pod({ namespace: 'shop', name: 'web' }, never)
    expect([containerOf(inPod(UID, WEB)), containerOf(inPod(other.uid, PAUSE))]).toEqual([
      { id: WEB, name: 'web' },
      { id: PAUSE, name: 'web' },
    ])
  })

  it('that Kubernetes does not show is not found, nor any where there is no Kubernetes', async () => {
    expect(await thrown(() => named(pod).pod({ namespace: 'shop', name: 'db' }, never))).toBe('admin.not_found')
    expect(await thrown(() => placeFinder(OWN, null).pod({ namespace: 'a', name: 'b' }, never))).toBe('admin.not_found')
  })
})
