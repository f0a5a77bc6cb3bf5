import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parse } from 'yaml'

const COMPOSE = readFileSync('docker-compose.yml', 'utf8')
const EXAMPLE = readFileSync('.env.example', 'utf8')
/** Of the demo alone, which has a file of its own. */
const DEMO = new Set(['SYNC_INTERVAL', 'DEMO_SVID_TTL'])

it('.env.example has every variable that docker-compose.yml reads', () => {
  const read = new Set([...COMPOSE.matchAll(/(?<!\$)\$\{([A-Z_]+)/g)].map(([, name = '']) => name))
  expect(read.size).toBeGreaterThan(8)
  expect([...read].filter((name) => !DEMO.has(name) && !new RegExp(`^#?${name}=`, 'm').test(EXAMPLE))).toEqual([])
})

it('only the agent starts without the profile `demo`', () => {
  const { services } = parse(COMPOSE) as { services: Record<string, { profiles?: readonly string[] }> }
  const plain = Object.entries(services).filter(([, { profiles }]) => profiles === undefined)
  expect(plain.map(([name]) => name)).toEqual(['icp-agent'])
})

it('the certificate of a private CA is mounted where .env.example says that it is', () => {
  const path = /^#TRUST_BUNDLE_PATH=(\S+)$/m.exec(EXAMPLE)?.[1]
  expect(path).toBeDefined()
  expect(COMPOSE).toContain(`#- ./trust-bundle.pem:${path}:ro\n`)
})
