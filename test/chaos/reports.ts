/** What a workload process tells the driver. Times are real, in milliseconds since 1970. */
export type WorkloadReport =
  /** A message of the Workload API came, and everything in it is as it must be. */
  | { readonly kind: 'received'; readonly svids: number; readonly fresh: number }
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
  readonly offset: number
}
