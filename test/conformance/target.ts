import { afterAll } from 'vitest'
import type { DialectName } from '../../agent/client/dialect-name.js'
import { type Scene, startScene } from './scene.js'

/** An agent whose socket is there to be asked. */
export interface Target {
  /** `unix:///…` */
  readonly address: string
  readonly dialects: readonly DialectName[]
}

const given = process.env['CONFORMANCE_SOCKET'] ?? ''
const dialects = (process.env['CONFORMANCE_DIALECTS'] ?? 'spiffe').split(',') as DialectName[]
let own: Promise<Scene> | null = null

/** The agent that CONFORMANCE_SOCKET names; null: the suite starts its own. */
export const elsewhere: Target | null = given === '' ? null : { address: given, dialects }

/** The suite's own agent, with a server and entries in its hand: one for each file, started when first needed. */
export function ownScene(): Promise<Scene> {
  own ??= startScene()
  return own
}

afterAll(async () => {
  await (await own)?.[Symbol.asyncDispose]()
})
