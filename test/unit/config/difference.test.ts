import { describe, expect, test } from 'vitest'
import { difference, fixedByEnvironment, reloaded } from '../../../agent/config/difference.js'
import type { SettingKey } from '../../../agent/config/schema.js'
import { type Given, KEY, load, TENANT } from './given.js'

const TREE = `agent: {tenant_id: ${TENANT}}\n`
const settings = async (more = '', rest: Omit<Given, 'file'> = {}) =>
  (await load({ file: TREE + more, ...rest })).settings
const keys = (changes: readonly { readonly key: SettingKey }[]) => changes.map(({ key }) => key)

describe('two effective configurations', () => {
  test('that are equal do not differ, wherever the values come from', async () => {
    const written = await settings('sync: {interval: 30s}\nattestation: {kubernetes: {authsec_namespaces: []}}')
    const secret = await settings('', {
      env: { ICP_AGENT_SECURITY__CACHE_ENCRYPTION_KEY: KEY, HTTPS_PROXY: 'http://p' },
    })
    const again = await settings('', {
      env: { ICP_AGENT_SECURITY__CACHE_ENCRYPTION_KEY: KEY, HTTPS_PROXY: 'http://p' },
    })
    expect(difference(await settings(), written)).toEqual({ live: [], restart: [] })
    expect(difference(secret, again)).toEqual({ live: [], restart: [] })
  })

  test('differ in what a reload changes and in what waits for a restart', async () => {
    const after = await settings('sync: {interval: 1m}\nhealth: {port: 9000, wait_for_kubernetes: true}')
    expect(difference(await settings(), after)).toEqual({
      live: [
        { key: 'sync.interval', from: '30s', to: '1m' },
        { key: 'health.wait_for_kubernetes', from: false, to: true },
      ],
      restart: [{ key: 'health.port', from: 8080, to: 9000 }],
    })
  })

  test('differ in secrets, which are not shown', async () => {
    const before = await settings('icp_service: {proxy: "http://user:one@proxy:1"}')
    const after = await settings('icp_service: {proxy: "http://user:two@proxy:1"}')
    const found = difference(before, after)
    expect(found.live).toEqual([{ key: 'icp_service.proxy', from: '[redacted]', to: '[redacted]' }])
    expect(JSON.stringify(found)).not.toContain('two')
    expect(keys(difference(before, await settings()).live)).toEqual(['icp_service.proxy'])
  })

  test('what follows from a setting that waits for a restart waits with it', async () => {
    const before = await settings()
    const after = await settings('attestation: {kubernetes: {node_name: other}}')
    expect(difference(before, after).live).toEqual([])
    expect(keys(difference(before, after).restart)).toEqual([
      'attestation.kubernetes.node_name',
      'attestation.kubernetes.kubelet_address',
    ])
    const address = await settings('attestation: {kubernetes: {kubelet_address: "https://10.0.0.7:10250"}}')
    expect(keys(difference(before, address).live)).toEqual(['attestation.kubernetes.kubelet_address'])
  })
})

test('after a reload what needs a restart is what it was, and is still missing from the next one', async () => {
  const before = await settings()
  const after = await settings('sync: {interval: 1m}\nhealth: {port: 9000}')
  const inForce = reloaded(before, after)
  expect(inForce['sync.interval']).toEqual(after['sync.interval'])
  expect(inForce['health.port']).toEqual(before['health.port'])
  expect(difference(inForce, after)).toEqual({ live: [], restart: [{ key: 'health.port', from: 8080, to: 9000 }] })
})

test('what the environment fixes is what it sets, not what the file makes of its variables', async () => {
  const env = { ICP_AGENT_SYNC__INTERVAL: '5m', NODE: 'vm-1', NO_PROXY: 'a.example' }
  expect(fixedByEnvironment(await settings(`sync: {interval: 1m, max_interval: "\${LONG:-20m}"}`, { env }))).toEqual([
    'icp_service.no_proxy',
    'sync.interval',
  ])
})
