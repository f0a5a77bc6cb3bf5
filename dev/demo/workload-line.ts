import type { DialectName } from '../../agent/client/dialect-name.js'

/** An SVID that the workload holds and has verified. Times in milliseconds since 1970. */
export interface HeldLine {
  readonly spiffeId: string
  readonly serial: string
  readonly notBefore: number
  readonly notAfter: number
  readonly authorities: number
}

/** Output of the workload, one JSON document per line. */
export type WorkloadLine =
  | { readonly event: 'started'; readonly executable: string }
  | { readonly event: 'waiting'; readonly dialect: DialectName; readonly code: string; readonly text: string }
  | {
      readonly event: 'holds'
      readonly dialect: DialectName
      readonly changes: readonly { readonly kind: string; readonly about: string }[]
      readonly svids: readonly HeldLine[]
    }
