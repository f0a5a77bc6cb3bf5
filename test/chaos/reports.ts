/** What a workload process tells the driver. Times are real, in milliseconds since 1970. */
export type WorkloadReport =
  /** A message of the Workload API came with these identities; `fresh` certificates were not seen before. */
  | { readonly kind: 'received'; readonly ids: readonly string[]; readonly fresh: number; readonly at: number }
  /** The stream has ended: the process has no identity until the next message. */
  | { readonly kind: 'ended'; readonly at: number }
  /** A JWT-SVID was fetched, with or without keys to verify it, or the agent had none. */
  | { readonly kind: 'jwt'; readonly outcome: 'verified' | 'unverified' | 'refused' }
  /** From now on the process has, or has not, what it needs: a live stream and an identity that is valid now. */
  | { readonly kind: 'served'; readonly served: boolean; readonly why: string; readonly at: number }
  /** An invariant is broken. */
  | { readonly kind: 'violation'; readonly what: string; readonly at: number }

/** What the driver tells a workload process. */
export interface WorkloadOrder {
  /** How far the node's wall clock is off the real one now. */
  readonly offset: number
}

/** What a workload process is started with, as JSON in its one argument. */
export interface WorkloadSettings {
  readonly socketPath: string
  /** Every identity that it may ever get begins so. */
  readonly ownPrefix: string
  /** The identity that it always needs, and that comes first. */
  readonly needs: string
  /** How often a JWT-SVID is fetched; 0: never. */
  readonly jwtEveryMs: number
  readonly offset: number
}
