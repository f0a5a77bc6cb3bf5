import { type KeyObject, sign, verify } from 'node:crypto'
import type { Jwk } from '../../agent/icp/control-plane.js'

/** A compact RS256 token without `kid`, as the ICP server issues them. Signed at once, so that a fake clock need not wait. */
export function issueToken(key: KeyObject, claims: Readonly<Record<string, unknown>>): string {
  const input = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
}

/** The claims of a token that the key signed; null for any other. */
export function readToken(key: KeyObject, token: string): Record<string, unknown> | null {
  const [header = '', claims = '', signature = ''] = token.split('.')
  if (!verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'))) return null
  return JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')) as Record<string, unknown>
}

/** The one key of the server's set. */
export function keySet(key: KeyObject): Jwk {
  return { ...key.export({ format: 'jwk' }), use: 'sig', kid: 'default', alg: 'RS256' }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
