import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { icpAgent } from '../support/terminal.js'

const uid = String(process.getuid?.())
let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
let agent: RunningAgent

beforeAll(async () => {
  dir = await temporaryDirectory()
  server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${server.tenantId}/web`, selectors: { 'unix:uid': uid } })
  agent = await startAgent({ dir: dir.path, server })
  await agent.logged('Agent startup completed successfully')
  await agent.logged('JWT bundle changed')
})

afterAll(async () => {
  await agent.stop()
  await server[Symbol.asyncDispose]()
  await dir[Symbol.asyncDispose]()
})

describe.each(['spiffe', 'authsec'])('JWT commands in the %s dialect', (dialect) => {
  const common = () => ['--socket', agent.address, '--dialect', dialect]

  it('shows a token without printing it, prints it with --token, and writes it for its owner alone', async () => {
    const shown = await icpAgent(['api', 'fetch', 'jwt', '-a', 'billing', '-o', 'json', ...common()])
    expect(JSON.parse(shown.stdout).svids).toMatchObject([
      { spiffe_id: `spiffe://${server.tenantId}/web`, audience: ['billing'] },
    ])
    const printed = await icpAgent(['api', 'fetch', 'jwt', '-a', 'billing', '--token', ...common()])
    expect(printed.stdout.trim().split('.')).toHaveLength(3)
    expect(shown.stdout).not.toContain(printed.stdout.trim())
    const out = join(dir.path, `tokens-${dialect}`)
    await icpAgent(['api', 'fetch', 'jwt', '-a', 'billing', '--write', out, ...common()])
    expect(await readFile(join(out, 'jwt.0.token'), 'utf8')).toBe(printed.stdout.trim())
    expect((await stat(join(out, 'jwt.0.token'))).mode & 0o777).toBe(0o600)
  })

  it('validates a token for its audience and for no other', async () => {
    const { stdout } = await icpAgent(['api', 'fetch', 'jwt', '-a', 'billing', '--token', ...common()])
    const file = join(dir.path, `token-${dialect}`)
    await writeFile(file, stdout)
    const valid = await icpAgent(['api', 'validate', 'jwt', '-a', 'billing', '-f', file, '-o', 'json', ...common()])
    expect(valid.code).toBe(0)
    expect(JSON.parse(valid.stdout).spiffe_id).toBe(`spiffe://${server.tenantId}/web`)
    const other = await icpAgent(['api', 'validate', 'jwt', '-a', 'shipping', '-f', file, ...common()])
    expect(other.code).toBe(1)
    expect(other.stderr + other.stdout).not.toContain(stdout.trim())
  })

  it('refuses an identity that the process is not entitled to', async () => {
    const id = `spiffe://${server.tenantId}/another`
    const refused = await icpAgent(['api', 'fetch', 'jwt', '-a', 'billing', '--id', id, ...common()])
    expect(refused).toMatchObject({ code: 1 })
    expect(refused.stderr).toContain('client.denied')
  })

  it('shows the bundles of every trust domain', async () => {
    const { stdout } = await icpAgent(['api', 'fetch', 'bundles', '-o', 'json', ...common()])
    const { x509, jwt } = JSON.parse(stdout)
    expect(x509[server.tenantId]).toContain('BEGIN CERTIFICATE')
    expect(jwt[server.tenantId].keys).toMatchObject([{ kty: 'RSA', use: 'jwt-svid', kid: 'default' }])
  })
})
