import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { compactToken, type TokenWish } from '../fakes/tokens.js'

/** The key with which the server of a scene signs JWT-SVIDs, from its data directory: tests sign wrong tokens with it. */
export async function serverKey(dir: string): Promise<KeyObject> {
  const state = JSON.parse(await readFile(`${dir}/icp/state.json`, 'utf8')) as { jwtKey: string | null }
  if (state.jwtKey === null) throw new Error('the server has not issued a token yet')
  return createPrivateKey(state.jwtKey)
}

/** A token of the server's own key for the audience `conformance`, good for five minutes but for what is changed. */
export async function signed(
  dir: string,
  claims: Readonly<Record<string, unknown>>,
  wish: Partial<Omit<TokenWish, 'claims'>> = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const good = { aud: ['conformance'], exp: now + 300, iat: now }
  return compactToken({ key: await serverKey(dir), ...wish, claims: { ...good, ...claims } })
}

/** The claims of a token. */
export function bodyOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>
}

export function headerOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>
}
