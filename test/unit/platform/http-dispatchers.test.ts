import { Agent, ProxyAgent } from 'undici'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LiveConfig } from '../../../agent/main/live-config.js'
import { Dispatchers } from '../../../agent/platform/http-dispatchers.js'
import { load, TENANT } from '../config/given.js'

const SERVER = new URL('https://icp.example/spiresvc')
const configured = async (lines: string) =>
  (await load({ file: `agent: {tenant_id: ${TENANT}}\nicp_service: {${lines}}` })).config

let live: LiveConfig
let dispatchers: Dispatchers
beforeEach(async () => {
  live = new LiveConfig(await configured(''))
  const { proxy } = live.config.icpService
  dispatchers = new Dispatchers({
    tls: () => ({ ca: [] }),
    roots: () => [],
    // As the agent reads it: of the section, at each request.
    proxy: () => ({ httpsProxy: proxy.httpsProxy?.reveal() ?? null, noProxy: proxy.noProxy }),
    connectTimeoutMs: 1_000,
  })
})
afterEach(() => dispatchers.destroy())

const next = () => dispatchers.network(SERVER, 'none')
const reload = async (lines: string) => live.replace(await configured(lines))

it('a proxy that is set while the agent runs takes the next request', async () => {
  const direct = next()
  expect([direct, dispatchers.proxyFor(SERVER)]).toEqual([expect.any(Agent), null])
  await reload('proxy: "http://user:pass@proxy.example:3128"')
  expect(next()).toBeInstanceOf(ProxyAgent)
  expect(next()).toBe(next())
  expect(dispatchers.proxyFor(SERVER)).toBe('http://proxy.example:3128')
})

it('a proxy whose address or password changes, or that is turned off, gets no request more', async () => {
  await reload('proxy: "http://user:old@proxy.example:3128"')
  const first = next()
  await reload('proxy: "http://user:new@proxy.example:3128"')
  const second = next()
  expect(second).toBeInstanceOf(ProxyAgent)
  expect(second).not.toBe(first)
  await reload('proxy: none')
  expect(next()).toBeInstanceOf(Agent)
  expect(next()).not.toBeInstanceOf(ProxyAgent)
  // They finish what is under way, and take nothing new.
  for (const retired of [first, second]) expect(retired).toHaveProperty('closed', true)
})

it('an exemption that is set while the agent runs leads past the proxy, and its end through it again', async () => {
  await reload('proxy: "http://proxy.example:3128"')
  const through = next()
  await reload('proxy: "http://proxy.example:3128", no_proxy: icp.example')
  expect(next()).not.toBeInstanceOf(ProxyAgent)
  await reload('proxy: "http://proxy.example:3128", no_proxy: other.example')
  expect(next()).toBe(through)
})
