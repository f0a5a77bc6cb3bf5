import type { DialectName } from '../../agent/client/dialect-name.js'
import type { Generation } from '../icp-server/options.js'
import type { HeldLine } from './workload-line.js'

export type { Generation } from '../icp-server/options.js'

/** The events that the demo shows. Times in milliseconds since 1970. */
export type DemoEvent =
  | { readonly kind: 'server'; readonly address: string; readonly generation: Generation; readonly pid: number }
  | { readonly kind: 'entry'; readonly spiffeId: string; readonly selectors: Readonly<Record<string, string>> }
  | { readonly kind: 'agent'; readonly pid: number; readonly socket: string }
  | {
      readonly kind: 'node'
      readonly spiffeId: string
      readonly notAfter: number
      readonly renewed: boolean
      readonly withToken: boolean
    }
  | { readonly kind: 'workload'; readonly pid: number; readonly uid: number; readonly executable: string }
  | { readonly kind: 'attested'; readonly pid: number; readonly selectors: Readonly<Record<string, string>> }
  | {
      readonly kind: 'holds'
      readonly dialect: DialectName
      readonly changes: readonly { readonly kind: string; readonly about: string }[]
      readonly svids: readonly HeldLine[]
    }
  | { readonly kind: 'waiting'; readonly dialect: DialectName; readonly code: string; readonly text: string }
  | { readonly kind: 'denied'; readonly pid: number; readonly uid: number; readonly reason: string }
  | { readonly kind: 'warning'; readonly who: string; readonly text: string }
