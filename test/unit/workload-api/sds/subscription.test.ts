import { describe, expect, it } from 'vitest'
import {
  DeltaSubscription,
  StateSubscription,
  type Versioned,
} from '../../../../agent/workload-api/sds/subscription.js'

const secret = (name: string, version: string): Versioned => ({ name, version })
const A1 = secret('a', '1')
const A2 = secret('a', '2')
const B1 = secret('b', '1')
const ERROR = { $typeName: 'google.rpc.Status' as const, code: 13, message: 'no' }

const state = (resourceNames: string[], responseNonce = '', errorDetail?: typeof ERROR) => ({
  resourceNames,
  responseNonce,
  ...(errorDetail ? { errorDetail } : {}),
})

describe('StreamSecrets', () => {
  const opened = (...names: string[]) => {
    const stream = new StateSubscription()
    stream.read(state(names))
    return stream
  }
  /** Sends what there is; the names, or null. */
  const send = (stream: StateSubscription<Versioned>, nonce: string, ...available: Versioned[]) => {
    const update = stream.next(available)
    if (update) stream.sent(update, nonce)
    return update?.secrets.map(({ name, version }) => name + version) ?? null
  }

  it('wants nothing before the first request', () => {
    const stream = new StateSubscription()
    expect(stream.wanted).toBeNull()
    expect(stream.next([])).toBeNull()
  })

  it('answers the first request whatever version and nonce it has', () => {
    const stream = new StateSubscription()
    expect(stream.read(state(['a'], 'of an earlier agent'))).toEqual({ rejected: null, expected: true })
    expect(send(stream, 'n1', A1)).toEqual(['a1'])
  })

  it('is silent after an ACK until the content changes', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    expect(stream.read(state(['a'], 'n1'))).toEqual({ rejected: null, expected: true })
    expect(send(stream, 'n2', A1)).toBeNull()
    expect(send(stream, 'n2', A2)).toEqual(['a2'])
  })

  it('is silent after a NACK until the content changes, and tells of it', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    const { rejected } = stream.read(state(['a'], 'n1', ERROR))
    expect(rejected).toMatchObject({ names: ['a'], code: 13, message: 'no' })
    expect(send(stream, 'n2', A1)).toBeNull()
    expect(send(stream, 'n2', A2)).toEqual(['a2'])
  })

  it('ignores what answers an older response: names, NACK and all', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    send(stream, 'n2', A2)
    expect(stream.read(state(['b'], 'n1', ERROR))).toEqual({ rejected: null, expected: false })
    expect([...(stream.wanted?.names ?? [])]).toEqual(['a'])
    expect(send(stream, 'n3', A2)).toBeNull()
  })

  it('answers other names at once, though nothing has changed', () => {
    const stream = opened('a', 'b')
    send(stream, 'n1', A1, B1)
    stream.read(state(['b'], 'n1'))
    expect(send(stream, 'n2', B1)).toEqual(['b1'])
    expect(stream.read(state(['b'], 'n2')).expected).toBe(true)
    expect(send(stream, 'n3', B1)).toBeNull()
  })

  it('takes the same names in another order, and twice, for the same', () => {
    const stream = opened('a', 'b')
    send(stream, 'n1', A1, B1)
    stream.read(state(['b', 'a', 'b'], 'n1'))
    expect(send(stream, 'n2', A1, B1)).toBeNull()
  })

  it('answers a request without a nonce at any time', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    expect(stream.read(state(['a'])).expected).toBe(false)
    expect(send(stream, 'n2', A1)).toEqual(['a1'])
  })

  it('waits for a first secret, sends each as it comes, and the others with it', () => {
    const stream = opened('a', 'b')
    expect(send(stream, 'n1')).toBeNull()
    expect(send(stream, 'n1', B1)).toEqual(['b1'])
    expect(send(stream, 'n2', A1, B1)).toEqual(['a1', 'b1'])
  })

  it('does not send again because a secret is unavailable for a while', () => {
    const stream = opened('a', 'b')
    send(stream, 'n1', A1, B1)
    expect(send(stream, 'n2', A1)).toBeNull()
    expect(send(stream, 'n2', A1, B1)).toBeNull()
  })

  it('wants everything where it names nothing, and tells of what is gone', () => {
    for (const names of [[], [''], ['*']]) {
      const stream = opened(...names)
      expect(stream.wanted?.all).toBe(true)
      expect(send(stream, 'n1', A1, B1)).toEqual(['a1', 'b1'])
      expect(send(stream, 'n2', A1)).toEqual(['a1'])
      expect(send(stream, 'n3', A1)).toBeNull()
    }
  })

  it('expects one answer for each response', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    expect(stream.read(state(['a'], 'n1')).expected).toBe(true)
    expect(stream.read(state(['a'], 'n1')).expected).toBe(false)
    expect(stream.read(state(['b'], 'n1')).expected).toBe(false)
  })
})

describe('DeltaSecrets', () => {
  const request = (
    subscribe: string[],
    unsubscribe: string[] = [],
    responseNonce = '',
    errorDetail?: typeof ERROR,
  ) => ({
    resourceNamesSubscribe: subscribe,
    resourceNamesUnsubscribe: unsubscribe,
    responseNonce,
    ...(errorDetail ? { errorDetail } : {}),
  })
  const opened = (...names: string[]) => {
    const stream = new DeltaSubscription()
    stream.read(request(names))
    return stream
  }
  const send = (stream: DeltaSubscription<Versioned>, nonce: string, ...available: Versioned[]) => {
    const update = stream.next(available)
    if (update) stream.sent(update, nonce)
    return (
      update && [...update.secrets.map(({ name, version }) => name + version), ...update.removed.map((n) => `-${n}`)]
    )
  }

  it('sends what is new to the client, and nothing else', () => {
    const stream = opened('a', 'b')
    expect(send(stream, 'n1', A1)).toEqual(['a1'])
    expect(send(stream, 'n2', A1, B1)).toEqual(['b1'])
    expect(send(stream, 'n3', A2, B1)).toEqual(['a2'])
    expect(send(stream, 'n4', A2, B1)).toBeNull()
  })

  it('adds names and takes them away, whatever the nonce', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    stream.read(request(['b'], [], 'stale'))
    expect(send(stream, 'n2', A1, B1)).toEqual(['b1'])
    stream.read(request([], ['a'], 'n2'))
    expect([...(stream.wanted?.names ?? [])]).toEqual(['b'])
    expect(send(stream, 'n3', B1)).toBeNull()
  })

  it('sends a name again that is subscribed to again', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    stream.read(request(['a'], [], 'n1'))
    expect(send(stream, 'n2', A1)).toEqual(['a1'])
    stream.read(request([], ['a']))
    stream.read(request(['a']))
    expect(send(stream, 'n3', A1)).toEqual(['a1'])
  })

  it('leaves out a name that waits, and never calls it removed', () => {
    const stream = opened('a', 'b')
    send(stream, 'n1', A1, B1)
    expect(send(stream, 'n2', A1)).toBeNull()
  })

  it('tells of a NACK of the last response alone', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    send(stream, 'n2', A2)
    expect(stream.read(request([], [], 'n1', ERROR)).rejected).toBeNull()
    expect(stream.read(request([], [], 'n2', ERROR)).rejected).toMatchObject({ names: ['a'], message: 'no' })
    expect(send(stream, 'n3', A2)).toBeNull()
  })

  it('wants everything where the first request names nothing, or with a wildcard, and tells what is removed', () => {
    for (const names of [[], ['*']]) {
      const stream = opened(...names)
      expect(stream.wanted?.all).toBe(true)
      expect(send(stream, 'n1', A1, B1)).toEqual(['a1', 'b1'])
      expect(send(stream, 'n2', A1)).toEqual(['-b'])
      expect(send(stream, 'n3', A1, B1)).toEqual(['b1'])
      stream.read(request([], ['*']))
      expect(stream.wanted?.all).toBe(false)
      expect(send(stream, 'n4')).toBeNull()
    }
  })

  it('calls a name that is asked for beside everything not removed: it waits', () => {
    const stream = opened('*', 'a')
    expect(send(stream, 'n1', A1, B1)).toEqual(['a1', 'b1'])
    expect(send(stream, 'n2', B1)).toBeNull()
  })

  it('takes a later request without names for an ACK', () => {
    const stream = opened('a')
    send(stream, 'n1', A1)
    expect(stream.read(request([], [], 'n1'))).toEqual({ rejected: null, expected: true })
    expect(stream.wanted?.all).toBe(false)
  })
})
