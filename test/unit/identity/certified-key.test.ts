import { createPublicKey } from 'node:crypto'
import { expect, it } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { certifiedKey } from '../../../agent/identity/certified-key.js'
import { TestCa } from '../../fakes/ca.js'
import { rsaKey } from '../../fakes/keys.js'

const LIFE = { notBefore: 0, notAfter: 4_000_000_000_000 }

it('the key that the server sends counts only where the certificate is for it', async () => {
  const [own, sent, other] = [new Secret(await rsaKey(0)), new Secret(await rsaKey(1)), new Secret(await rsaKey(2))]
  const ca = await TestCa.create('CA', LIFE)
  const chainFor = async (key: typeof own) => [await ca.issue(createPublicKey(key.reveal()), LIFE)]
  expect(certifiedKey(await chainFor(sent), own, sent)).toBe(sent)
  expect(certifiedKey(await chainFor(own), own, sent)).toBe(own)
  expect(certifiedKey(await chainFor(other), own, sent)).toBe(own)
  expect(certifiedKey(await chainFor(own), own, undefined)).toBe(own)
  expect(certifiedKey([], own, sent)).toBe(own)
})
