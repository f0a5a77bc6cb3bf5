import { createInterface } from 'node:readline'
import { decodeJwt, importJWK, type JWK, jwtVerify } from 'jose'
import type { WorkloadApiClient } from '../../../../agent/client/workload-api-client.js'
import type { X509Context } from '../../../../agent/client/x509-context.js'
import { Secret } from '../../../../agent/crypto/secret.js'
import { tell, textOf } from './tell.js'

const signal = new AbortController().signal
let current: X509Context | null = null
let keys: ReadonlyMap<string, string> = new Map()

/** The client has verified each SVID against the bundle of its trust domain. */
function describe({ svids }: X509Context) {
  return svids.map(({ svid }) => ({ id: svid.spiffeId.uri, serial: svid.serial }))
}

export async function watchX509(client: WorkloadApiClient): Promise<void> {
  try {
    for await (const context of client.watchX509Svids(signal)) {
      current = context
      tell({ event: 'x509', svids: describe(context) })
    }
  } catch (error) {
    tell({ event: 'x509-ended', error: textOf(error) })
  }
  // As a workload would, it goes on with what it has.
  setInterval(() => undefined, 60_000)
}

async function watchBundles(client: WorkloadApiClient): Promise<void> {
  for await (const bundles of client.watchX509Bundles(signal)) {
    const sizes = [...bundles].map(([name, { authorities }]) => [name, authorities.length])
    tell({ event: 'x509-bundles', authorities: Object.fromEntries(sizes) })
  }
}

async function watchKeys(client: WorkloadApiClient): Promise<void> {
  for await (const bundles of client.watchJwtBundles(signal)) {
    keys = bundles
    const sizes = [...bundles].map(([name, jwks]) => [name, JSON.parse(jwks).keys.length])
    tell({ event: 'jwt-bundles', keys: Object.fromEntries(sizes) })
  }
}

/** Watches everything, and answers commands: a number, the command, its arguments. */
export async function workload(client: WorkloadApiClient): Promise<void> {
  for (const watch of [watchX509, watchBundles, watchKeys]) {
    watch(client).catch((error: unknown) => tell({ event: 'broken', error: textOf(error) }))
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const [reply = '', ...words] = line.split(' ')
    try {
      tell({ reply, result: await answer(client, words) })
    } catch (error) {
      tell({ reply, error: textOf(error) })
    }
  }
}

async function answer(
  client: WorkloadApiClient,
  [command, audience = '', token = '']: readonly string[],
): Promise<unknown> {
  switch (command) {
    case 'fetch':
      return describe(await client.fetchX509Svid(signal))
    case 'current':
      return current && describe(current)[0]
    case 'jwt': {
      const [svid] = await client.fetchJwtSvids({ audience: [audience] }, signal)
      return { id: svid?.spiffeId.uri, token: svid?.token.reveal() }
    }
    case 'verify':
      return { id: await verify(audience, token) }
    case 'validate':
      return { id: (await client.validateJwtSvid(new Secret(token), audience, signal)).spiffeId.uri }
    default:
      throw new Error(`no such command: ${command}`)
  }
}

/**
 * As a program with a JOSE library does it: with each key of the subject's trust domain. (A key set of the library would
 * leave out keys whose use is `jwt-svid`.)
 */
async function verify(audience: string, token: string): Promise<string | undefined> {
  const trustDomain = new URL(decodeJwt(token).sub ?? '').host
  const problems: unknown[] = []
  for (const { use: _, ...key } of JSON.parse(keys.get(trustDomain) ?? '{"keys":[]}').keys as JWK[]) {
    try {
      return (await jwtVerify(token, await importJWK(key, 'RS256'), { audience })).payload.sub
    } catch (error) {
      problems.push(error)
    }
  }
  throw new AggregateError(problems, 'no key verifies the token')
}
