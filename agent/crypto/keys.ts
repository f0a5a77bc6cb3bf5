import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { AgentError } from '../errors.js'
import { derFromPem, pemFromDer } from './pem.js'

const generateRsa = async (): Promise<KeyObject> =>
  (await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })).privateKey

/** A source of new private keys. */
export interface KeySource {
  take(signal: AbortSignal): Promise<KeyObject>
}

export interface KeyPoolOptions {
  /** Keys generated concurrently; default 2. The thread pool has four threads, which DNS and file reads share. */
  readonly concurrency?: number
  /** Keys kept ready after the first was taken; default 2. */
  readonly ahead?: number
  /** Generates one key; default: RSA-2048 on the thread pool. */
  readonly generate?: () => Promise<KeyObject>
}

interface Waiter {
  readonly resolve: (key: KeyObject) => void
  readonly reject: (reason: unknown) => void
}

/**
 * RSA-2048 private keys, generated on the thread pool (the server's roles refuse every other kind). No key is generated
 * before the first `take`; from then on `ahead` keys are kept ready. Takers are served in order. Disposing rejects waiting
 * takers (`agent.stopping`) and drops the ready keys.
 */
export class KeyPool implements KeySource, AsyncDisposable {
  readonly #concurrency: number
  readonly #ahead: number
  readonly #generate: () => Promise<KeyObject>
  readonly #ready: KeyObject[] = []
  readonly #waiters = new Set<Waiter>()
  readonly #making = new Set<Promise<void>>()
  #closed = false

  constructor(options: KeyPoolOptions = {}) {
    this.#concurrency = options.concurrency ?? 2
    this.#ahead = options.ahead ?? 2
    this.#generate = options.generate ?? generateRsa
  }

  /** The next key. Rejects with the signal's reason, `agent.stopping` after disposal, `internal` if generation fails. */
  async take(signal: AbortSignal): Promise<KeyObject> {
    signal.throwIfAborted()
    if (this.#closed) throw stopping()
    const key = this.#ready.shift()
    if (key) {
      this.#fill()
      return key
    }
    return await new Promise<KeyObject>((resolve, reject) => {
      const abort = () => waiter.reject(signal.reason)
      const leave = () => {
        this.#waiters.delete(waiter)
        signal.removeEventListener('abort', abort)
      }
      const waiter: Waiter = {
        resolve: (made) => {
          leave()
          resolve(made)
        },
        reject: (reason) => {
          leave()
          reject(reason)
        },
      }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', abort, { once: true })
      this.#fill()
    })
  }

  /** Waits for running generations, which cannot be interrupted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#ready.length = 0
    for (const waiter of [...this.#waiters]) waiter.reject(stopping())
    await Promise.all(this.#making)
  }

  #fill(): void {
    while (!this.#closed && this.#making.size < Math.min(this.#concurrency, this.#wanted())) {
      const job = this.#make().then((made) => {
        this.#making.delete(job)
        // After a failure only a waiting taker starts the next attempt; keys are not generated ahead.
        if (made || this.#waiters.size > 0) this.#fill()
      })
      this.#making.add(job)
    }
  }

  #wanted(): number {
    return this.#waiters.size + this.#ahead - this.#ready.length
  }

  async #make(): Promise<boolean> {
    try {
      const key = await this.#generate()
      if (this.#closed) return true
      const [waiter] = this.#waiters
      if (waiter) waiter.resolve(key)
      else this.#ready.push(key)
      return true
    } catch (cause) {
      const [waiter] = this.#waiters
      // A defect: kind and size of the key are constants, not input.
      waiter?.reject(new AgentError('internal', 'an RSA key could not be made', { cause }))
      return false
    }
  }
}

/** Unencrypted PKCS#8 DER, the form of Workload API 5.2.1. */
export function pkcs8Der(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: 'pkcs8', format: 'der' }))
}

/** Unencrypted PKCS#8 PEM. */
export function pkcs8Pem(key: KeyObject): string {
  return pemFromDer(pkcs8Der(key), 'PRIVATE KEY')
}

/** The one private key of a PEM text, PKCS#8 or PKCS#1, unencrypted. Throws `svid.invalid`, never quoting the text. */
export function privateKeyFromPem(text: string): KeyObject {
  const found = [
    ...derFromPem(text, 'PRIVATE KEY').map((der) => ({ der, type: 'pkcs8' as const })),
    ...derFromPem(text, 'RSA PRIVATE KEY').map((der) => ({ der, type: 'pkcs1' as const })),
  ]
  const [only] = found
  if (!only || found.length > 1) {
    throw new AgentError('svid.invalid', `expected one private key (PKCS#8 or PKCS#1 PEM), found ${found.length}`)
  }
  try {
    return createPrivateKey({ key: Buffer.from(only.der), format: 'der', type: only.type })
  } catch (cause) {
    throw new AgentError('svid.invalid', 'the private key cannot be read', { cause })
  }
}

function stopping(): AgentError {
  return new AgentError('agent.stopping', 'the agent is stopping and makes no more keys')
}
