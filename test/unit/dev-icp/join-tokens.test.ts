import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../dev/icp-server/api-error.js'
import { JoinTokens } from '../../../dev/icp-server/join-tokens.js'

const statusOf = (run: () => unknown): number => {
  try {
    run()
    return 200
  } catch (error) {
    if (error instanceof ApiError) return error.status
    throw error
  }
}

describe('a join token', () => {
  test('is good once, for an hour unless asked for otherwise', () => {
    const tokens = new JoinTokens()
    const { record, secret } = tokens.mint({}, 1000)
    expect(record.expiresAt).toBe(3_601_000)
    expect(statusOf(() => tokens.consume(secret, 'n', 2000))).toBe(200)
    expect(record).toMatchObject({ usedAt: 2000, usedByNodeId: 'n' })
    expect(statusOf(() => tokens.consume(secret, 'n', 2000))).toBe(401)
  })

  test('is refused at the moment it expires', () => {
    const tokens = new JoinTokens()
    const { secret } = tokens.mint({ ttlSeconds: 10 }, 0)
    expect(statusOf(() => tokens.consume(secret, 'n', 10_000))).toBe(401)
    expect(statusOf(() => tokens.consume(secret, 'n', 9_999))).toBe(200)
  })

  test('lives at most seven days, and no negative time', () => {
    const tokens = new JoinTokens()
    expect(statusOf(() => tokens.mint({ ttlSeconds: 604_800 }, 0))).toBe(200)
    expect(statusOf(() => tokens.mint({ ttlSeconds: 604_801 }, 0))).toBe(400)
    expect(statusOf(() => tokens.mint({ ttlSeconds: -1 }, 0))).toBe(400)
  })

  test('is refused once revoked, and revoked once', () => {
    const tokens = new JoinTokens()
    const { record, secret } = tokens.mint({}, 0)
    tokens.revoke(record.id, 1)
    expect(statusOf(() => tokens.consume(secret, 'n', 2))).toBe(401)
    expect(statusOf(() => tokens.revoke(record.id, 3))).toBe(404)
  })

  test('is kept as a hash alone', () => {
    const tokens = new JoinTokens()
    const { secret } = tokens.mint({ description: 'rack 4' }, 0)
    expect(JSON.stringify(tokens.save())).not.toContain(secret)
    const restored = new JoinTokens(tokens.save())
    expect(statusOf(() => restored.consume(secret, 'n', 1))).toBe(200)
  })
})
