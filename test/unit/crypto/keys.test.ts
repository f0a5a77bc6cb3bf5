import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { KeyPool, pkcs8Der, pkcs8Pem, privateKeyFromPem } from '../../../agent/crypto/keys.js'
import { codeOf } from '../../../agent/errors.js'
import { settle } from '../../fakes/clock.js'
import { rsaKey } from '../../fakes/keys.js'

const SIGNAL = new AbortController().signal
const codeFrom = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return codeOf(error)
  }
  return 'no error'
}

describe('the key pool', () => {
  it('gives RSA-2048 private keys, each once', async () => {
    await using pool = new KeyPool({ ahead: 1 })
    const keys = await Promise.all([pool.take(SIGNAL), pool.take(SIGNAL), pool.take(SIGNAL)])
    expect(keys.map((key) => [key.type, key.asymmetricKeyType, key.asymmetricKeyDetails?.modulusLength])).toEqual(
      Array(3).fill(['private', 'rsa', 2048]),
    )
    expect(new Set(keys.map(pkcs8Pem)).size).toBe(3)
  })

  it('makes nothing before the first take, then keeps some ready, at most two in the making', async () => {
    const key = await rsaKey()
    const pending: ((key: KeyObject) => void)[] = []
    const generate = () => new Promise<KeyObject>((resolve) => void pending.push(resolve))
    const finish = async () => {
      pending.shift()?.(key)
      await settle()
    }
    const pool = new KeyPool({ generate })
    expect(pending).toHaveLength(0)
    const first = pool.take(SIGNAL)
    expect(pending).toHaveLength(2)
    await finish()
    expect(await first).toBe(key)
    expect(pending).toHaveLength(2)
    await finish()
    await finish()
    expect(pending).toHaveLength(0)
    await pool.take(SIGNAL)
    expect(pending).toHaveLength(1)
    await finish()
    await pool[Symbol.asyncDispose]()
  })

  it('says so when a key cannot be made, and does not try again before somebody asks', async () => {
    const cause = new Error('out of entropy')
    let attempts = 0
    await using pool = new KeyPool({
      generate: async () => {
        attempts++
        throw cause
      },
    })
    expect(await pool.take(SIGNAL).catch((error: unknown) => error)).toMatchObject({ code: 'internal', cause })
    await settle()
    expect(attempts).toBeLessThanOrEqual(2)
  })

  it('leaves its signal alone: whoever aborts is gone, and the key goes to the next', async () => {
    await using pool = new KeyPool({ ahead: 0, concurrency: 1 })
    const first = new AbortController()
    const reason = new Error('gone')
    const aborted = pool.take(first.signal)
    const waiting = pool.take(SIGNAL)
    first.abort(reason)
    expect(await aborted.catch((error: unknown) => error)).toBe(reason)
    expect((await waiting).asymmetricKeyType).toBe('rsa')
    expect(await pool.take(AbortSignal.abort(reason)).catch((error: unknown) => error)).toBe(reason)
  })

  it('rejects who waits when it is disposed, and everybody after', async () => {
    const pool = new KeyPool()
    const waiting = pool.take(SIGNAL).catch(codeOf)
    await pool[Symbol.asyncDispose]()
    expect(await waiting).toBe('agent.stopping')
    expect(await pool.take(SIGNAL).catch(codeOf)).toBe('agent.stopping')
  })
})

describe('a private key', () => {
  it('is written as PKCS#8 and read as PKCS#8 and PKCS#1', async () => {
    const key = await rsaKey()
    expect(privateKeyFromPem(pkcs8Pem(key)).equals(key)).toBe(true)
    const pkcs1 = key.export({ type: 'pkcs1', format: 'pem' }).toString()
    expect(pkcs1).toContain('BEGIN RSA PRIVATE KEY')
    expect(privateKeyFromPem(pkcs1).equals(key)).toBe(true)
    // PKCS#8 begins with version 0 and the RSA algorithm, not with a modulus.
    expect(Buffer.from(pkcs8Der(key)).subarray(4, 7).toString('hex')).toBe('020100')
  })

  it('is refused where there is none, where there are two, where it is broken or encrypted', async () => {
    const pem = pkcs8Pem(await rsaKey())
    expect(codeFrom(() => privateKeyFromPem('nothing'))).toBe('svid.invalid')
    expect(codeFrom(() => privateKeyFromPem(pem + pem))).toBe('svid.invalid')
    expect(codeFrom(() => privateKeyFromPem(pem.replace('MII', 'AAA')))).toBe('svid.invalid')
    const encrypted = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    })
    expect(codeFrom(() => privateKeyFromPem(String(encrypted)))).toBe('svid.invalid')
  })
})
