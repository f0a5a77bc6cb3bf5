import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { icpAgent } from '../support/terminal.js'

test('the agent keeps the bundles in files that anybody can verify with, and no key beside them', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: 'acme.example', jwtKid: true })
  await server.createEntry({
    spiffeId: 'spiffe://acme.example/web',
    selectors: { 'unix:uid': String(process.getuid?.()) },
  })
  const out = join(dir.path, 'bundles')
  const settings = { OUTPUTS__BUNDLE_DIR: out, OUTPUTS__FORMATS: 'pem,jwks,spiffe' }
  await using agent = await startAgent({ dir: dir.path, server, settings })
  const fetched = await icpAgent(['api', 'fetch', 'x509', '--socket', agent.address, '-o', 'json', '--timeout', '60s'])
  const { svids } = JSON.parse(fetched.stdout)
  await expect.poll(() => readdir(out).catch(() => [])).toContain('acme.example.spiffe.json')
  const pem = await readFile(join(out, 'acme.example.pem'), 'utf8')
  expect(new X509Certificate(svids[0].chain_pem).verify(new X509Certificate(pem).publicKey)).toBe(true)
  const jwks = async () => JSON.parse(await readFile(join(out, 'acme.example.jwks.json'), 'utf8')).keys.length
  await expect.poll(jwks).toBeGreaterThan(0)
  expect((await stat(join(out, 'acme.example.pem'))).mode & 0o777).toBe(0o644)
  for (const name of await readdir(out)) expect(await readFile(join(out, name), 'utf8')).not.toContain('PRIVATE')
})
