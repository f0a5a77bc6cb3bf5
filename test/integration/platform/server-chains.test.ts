import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:https'
import { Extension } from '@peculiar/x509'
import { describe, expect, it } from 'vitest'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { pemFromDer } from '../../../agent/crypto/pem.js'
import { createHttpClient } from '../../../agent/platform/undici-http.js'
import { HttpError } from '../../../agent/ports/http.js'
import { TestCa, type Wish } from '../../fakes/ca.js'
import { listening } from '../support/https-server.js'

const failureOf = (error: unknown) => (error instanceof HttpError ? error.failure : String(error))

const HOUR = 3_600_000
const LIFE = { notBefore: Date.now() - HOUR, notAfter: Date.now() + HOUR }
/** Only addresses in 10.0.0.0/8 (RFC 5280 4.2.1.10). */
const ELSEWHERE = new Extension('2.5.29.30', true, Buffer.from('300ea00c300a87080a000000ff000000', 'hex'))

/** What a client makes of a server with this chain: one that knows its root, and one that does not. */
async function verdicts(root: TestCa, authorities: readonly TestCa[], bits?: number): Promise<string[]> {
  const { privateKey } = bits
    ? generateKeyPairSync('rsa', { modulusLength: bits })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const wish: Wish = { ...LIFE, subject: 'server', names: [{ type: 'ip', value: '127.0.0.1' }] }
  const leaf = await (authorities[0] ?? root).issue(createPublicKey(privateKey), wish)
  const chain = [leaf, ...authorities.map(({ der }) => der)].map((der) => pemFromDer(der, 'CERTIFICATE')).join('')
  const options = { cert: chain, key: pkcs8Pem(privateKey), ciphers: 'DEFAULT:@SECLEVEL=0' }
  await using server = await listening(
    createServer(options, (_request, response) => void response.end('ok')),
    'https',
  )
  const request = { method: 'GET', url: server.address, timeoutMs: 10_000, maxBytes: 1000 } as const
  const results: string[] = []
  for (const ca of [[root.pem], []]) {
    await using client = createHttpClient({ tls: () => ({ ca }), roots: () => [] })
    const verdict = await client.request(request).then(({ status }) => String(status), failureOf)
    results.push(verdict)
  }
  return results
}

describe('a chain that is wrong is a failure of TLS and no defect, whether its root is known or not:', () => {
  it('longer than an authority allows', async () => {
    const root = await TestCa.create('Root', LIFE)
    const short = await TestCa.create('Short', { ...LIFE, ca: { pathLength: 0 } }, root)
    const below = await TestCa.create('Below', LIFE, short)
    expect(await verdicts(root, [below, short])).toEqual(['tls', 'tls'])
  })

  it('outside the names that an authority may vouch for', async () => {
    const root = await TestCa.create('Root', LIFE)
    const elsewhere = await TestCa.create('Elsewhere', { ...LIFE, extra: [ELSEWHERE] }, root)
    expect(await verdicts(root, [elsewhere])).toEqual(['tls', 'tls'])
  })

  it('for a key that is too weak, where this OpenSSL minds', async () => {
    const root = await TestCa.create('Root', LIFE)
    const [known, unknown] = await verdicts(root, [], 1024)
    expect(['tls', '200']).toContain(known)
    expect(unknown).toBe('tls')
  })
})

it('an address that the system cannot connect to is an unreachable server and no defect', async () => {
  await using client = createHttpClient({ roots: () => [] })
  for (const host of ['[fe80::1]', '255.255.255.255', '[2001:db8::1]']) {
    const request = { method: 'GET', url: `https://${host}:1/`, timeoutMs: 200, maxBytes: 1000 } as const
    expect(['unreachable', 'timeout']).toContain(await client.request(request).then(String, failureOf))
  }
})
