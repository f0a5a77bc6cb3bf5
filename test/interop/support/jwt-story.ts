import { decodeProtectedHeader } from 'jose'
import { expect } from 'vitest'
import type { ClientProcess, Told } from './client-process.js'
import { TRUST_DOMAIN, WEB } from './environment.js'
import { cell } from './matrix.js'

const AUDIENCE = 'https://api.interop.example'
/** What clients say when they refuse a token for want of a key id. */
const NO_KEY_ID = /\bkid\b|key[ _-]?id/i

export type Tokens = 'with kid' | 'without kid'

/** Fetches a JWT-SVID, verifies it with the client's own copy of the keys where it keeps one, has the agent validate it. */
export function jwtStory(name: string, tokens: Tokens, workload: () => ClientProcess, keepsKeys = true): void {
  const column = tokens === 'with kid' ? 'JWT-SVID with `kid`' : 'JWT-SVID without `kid`'
  cell(name, column, `handles JWT-SVIDs ${tokens}`, async () => {
    const client = workload()
    if (keepsKeys) {
      await client.event('jwt-bundles', (line) => (line['keys'] as Record<string, number>)[TRUST_DOMAIN] === 1)
    }
    const fetched = await client.ask('jwt', AUDIENCE)
    const token = fetched.error === undefined ? tokenIn(fetched) : tokenIn(await client.ask('raw-jwt', AUDIENCE))
    expect(decodeProtectedHeader(token).kid !== undefined).toBe(tokens === 'with kid')
    const verified = keepsKeys ? { 'verified locally': outcome(await client.ask('verify', AUDIENCE, token)) } : {}
    const validated = await client.ask('validate', AUDIENCE, token)
    const forged = await client.ask('validate', 'https://other.example', token)
    expect(forged.error).toBeDefined()
    return words({ fetched: outcome(fetched), ...verified, validated: outcome(validated) })
  })
}

function words(outcomes: Record<string, boolean>): string {
  const good = Object.keys(outcomes).filter((what) => outcomes[what])
  const bad = Object.keys(outcomes).filter((what) => !outcomes[what])
  return [...good, ...bad.map((what) => `not ${what}`)].join(', ')
}

/** True where it went well; false where the client refused the token because it names no key. Else a failure. */
function outcome(told: Told): boolean {
  if (told.error === undefined) {
    expect((told.result as { id: string }).id).toBe(WEB)
    return true
  }
  expect(told.error).toMatch(NO_KEY_ID)
  return false
}

function tokenIn(told: Told): string {
  expect(told.error).toBeUndefined()
  return (told.result as { token: string }).token
}
