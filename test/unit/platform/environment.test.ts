import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { forgetVariables, insideContainer, surroundings } from '../../../agent/platform/environment.js'

const nothing = () => false
const machine = () => '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n30 27 0:5 / /proc rw - proc proc rw\n'

describe('inside a container', () => {
  test('a machine is none', () => {
    expect(insideContainer({}, nothing, machine)).toBe(false)
    expect(insideContainer({ container: 'systemd-nspawn' }, nothing, machine)).toBe(false)
  })

  test.each(['/.dockerenv', '/run/.containerenv'])('%s is the mark of an engine', (mark) => {
    expect(insideContainer({}, (path) => path === mark, machine)).toBe(true)
  })

  test('a pod has the address of the Kubernetes API', () => {
    expect(insideContainer({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, nothing, machine)).toBe(true)
  })

  test.each([
    [
      'docker',
      'lowerdir=/var/lib/docker/overlay2/l/X:/var/lib/docker/overlay2/l/Y,upperdir=/var/lib/docker/overlay2/z',
    ],
    ['containerd', 'lowerdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs'],
    ['podman', 'lowerdir=/var/lib/containers/storage/overlay/l/X'],
  ])('layers of %s below the root are told apart from those of a live system', (_engine, layers) => {
    const root = (options: string) => `36 35 0:30 / / rw,relatime - overlay overlay rw,${options}\n`
    expect(insideContainer({}, nothing, () => root(layers))).toBe(true)
    expect(insideContainer({}, nothing, () => root('lowerdir=/rofs,upperdir=/cow/upper'))).toBe(false)
    expect(insideContainer({}, nothing, () => root(layers).replace(' / / ', ' / /mnt '))).toBe(false)
  })
})

test('the surroundings are those of this process', () => {
  const env = { A: 'b' }
  expect(surroundings(env)).toMatchObject({ env, hostname: hostname(), workingDirectory: process.cwd() })
})

test('a variable that was forgotten is gone from the environment', () => {
  process.env['ICP_AGENT_TEST_FORGET'] = 'x'
  forgetVariables(['ICP_AGENT_TEST_FORGET', 'ICP_AGENT_TEST_NEVER_SET'])
  expect('ICP_AGENT_TEST_FORGET' in process.env).toBe(false)
})
