import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from '@peculiar/x509'
import { describe, expect, it } from 'vitest'
import { createCsr } from '../../../agent/crypto/csr.js'
import { webcrypto } from '../../../agent/crypto/webcrypto.js'
import { readCsr } from '../../fakes/ca.js'
import { rsaKey } from '../../fakes/keys.js'

const OPENSSL = spawnSync('openssl', ['version']).status === 0
const URI = 'spiffe://7c9e6679-7425-40de-944b-e07fc1f90ae7/agent/node-1'

const parsed = async (commonName: string) => {
  const pem = await createCsr({ key: await rsaKey(), uri: URI, commonName })
  const csr = new Pkcs10CertificateRequest(pem)
  const san = csr.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension)
  return { pem, csr, san }
}

describe('a certificate request', () => {
  it('carries exactly one name, the URI, and the key that signed it', async () => {
    const { pem, csr } = await parsed('svid@localhost')
    const read = await readCsr(pem)
    expect(read.names).toEqual([{ type: 'url', value: URI }])
    expect(read.key.equals((await import('node:crypto')).createPublicKey(await rsaKey()))).toBe(true)
    expect(await csr.verify(webcrypto)).toBe(true)
    expect(csr.signatureAlgorithm).toMatchObject({ name: 'RSASSA-PKCS1-v1_5', hash: { name: 'SHA-256' } })
  })

  it('has a critical name where its subject is empty, and a common name otherwise', async () => {
    const empty = await parsed('')
    expect(empty.csr.subject).toBe('')
    expect(empty.san?.critical).toBe(true)
    const named = await parsed('svid@localhost')
    expect(named.csr.subjectName.getField('CN')).toEqual(['svid@localhost'])
    expect(named.san?.critical).toBe(false)
  })

  it('takes a common name as it is: nothing in it begins another attribute', async () => {
    const { csr } = await parsed('a,O=Other+OU=x\\,#30')
    expect(csr.subjectName.toJSON()).toEqual([{ CN: ['a,O=Other+OU=x\\,#30'] }])
  })

  it.skipIf(!OPENSSL)('is one that OpenSSL reads and verifies', async () => {
    const { pem } = await parsed('')
    const text = execFileSync('openssl', ['req', '-noout', '-text', '-verify'], {
      input: pem,
      stdio: 'pipe',
    }).toString()
    expect(text).toContain(`URI:${URI}`)
    expect(text).toContain('X509v3 Subject Alternative Name: critical')
  })

  it('is not made for a key that no role accepts', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    await expect(createCsr({ key: privateKey, uri: URI, commonName: '' })).rejects.toThrow(TypeError)
  })
})
