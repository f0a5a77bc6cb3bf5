import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pkcs8Pem, privateKeyFromPem } from '../../agent/crypto/keys.js'
import { derFromPem, pemFromDer } from '../../agent/crypto/pem.js'
import { ecKey } from '../fakes/workload-messages.js'
import { AUTHORITY } from './certificates.js'
import { accepted, always } from './fuzz.js'
import { mutatedText, mutations } from './mutations.js'

const REFUSED = ['svid.invalid']
const key = ecKey()
const pem = pemFromDer(AUTHORITY, 'CERTIFICATE')

const line = fc.oneof(
  fc.constantFrom('-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----', ''),
  fc.constantFrom(
    '-----END PRIVATE KEY-----',
    '----BEGIN CERTIFICATE----',
    'Proc-Type: 4,ENCRYPTED',
    'AAAA',
    '=',
    'AA==',
  ),
  fc.base64String({ maxLength: 64 }),
  fc.string({ maxLength: 20 }),
)
const noise = fc.array(fc.string({ unit: fc.constantFrom(...'ab:# -'), maxLength: 20 }), { maxLength: 5 })

test('any lines give blocks of base64, or are refused', () => {
  always(10_000, fc.array(line, { maxLength: 12 }), (lines) => {
    const blocks = accepted(REFUSED, () => derFromPem(lines.join('\n'), 'CERTIFICATE'))
    for (const block of blocks ?? []) expect(block.length).toBeGreaterThan(0)
    // Where a block begins, the next mark that counts is its own end.
    const begun = blocks ? lines.map((one) => one.trim()) : []
    for (const [i, mark] of begun.entries()) {
      const label = /^-----BEGIN ([A-Z ]+)-----$/.exec(mark)?.[1]
      if (label === undefined) continue
      const next = begun.slice(i + 1).find((one) => one.startsWith('-----BEGIN ') || one === `-----END ${label}-----`)
      expect(next).toBe(`-----END ${label}-----`)
    }
  })
})

test('what was written is read again, whatever stands around it and however its lines end', () => {
  const ders = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 4 })
  always(2_000, fc.tuple(ders, noise, fc.constantFrom('\n', '\r\n')), ([blocks, around, end]) => {
    const text = blocks.map((der) => `${around.join('\n')}\n${pemFromDer(der, 'CERTIFICATE')}`).join('')
    const read = derFromPem(text.replaceAll('\n', end), 'CERTIFICATE')
    expect(read.map((der) => Buffer.from(der))).toEqual(blocks.map((der) => Buffer.from(der)))
  })
})

test('a real certificate that was changed holds what OpenSSL reads in it, or is refused', () => {
  always(3_000, mutations, (changes) => {
    const text = mutatedText(pem, changes)
    const [der] = accepted(REFUSED, () => derFromPem(text, 'CERTIFICATE')) ?? []
    const oracle = x509Of(text)
    // OpenSSL takes more spellings than we do; what both take is the same certificate.
    if (der && oracle) expect(new X509Certificate(der).raw.equals(oracle.raw)).toBe(true)
  })
})

test('a private key that was changed is refused or is a key, and never quoted', () => {
  const original = pkcs8Pem(key)
  always(2_000, mutations, (changes) => {
    const text = mutatedText(original, changes)
    const { found, said } = attempt(() => privateKeyFromPem(text))
    expect(said).not.toContain('ERR_OSSL')
    for (const part of original.split('\n').filter((one) => one.length > 40)) expect(said).not.toContain(part)
    const oracle = attempt(() => createPrivateKey(text)).found
    if (found && oracle) expect(createPublicKey(oracle).equals(createPublicKey(found))).toBe(true)
  })
})

/** The result, or the words of the refusal. Ours has a code of its own. */
function attempt(parse: () => KeyObject): { readonly found: KeyObject | null; readonly said: string } {
  try {
    return { found: parse(), said: '' }
  } catch (error) {
    expect(error).toMatchObject({ code: expect.stringMatching(/^svid\.invalid$|^ERR_OSSL_/) })
    return { found: null, said: String(error) }
  }
}

function x509Of(text: string): X509Certificate | null {
  try {
    return new X509Certificate(text)
  } catch {
    return null // It cannot read it.
  }
}
