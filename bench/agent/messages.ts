/** Messages between the benchmark and a process of clients. Times in milliseconds. */
export type Order =
  | { readonly kind: 'hold'; readonly connections: number }
  | { readonly kind: 'rounds'; readonly times: number; readonly fresh: boolean }
  | { readonly kind: 'pushed' }

export interface Reply {
  /** `hold`, `rounds`: how long each took; `pushed`: when each stream had its next message, by the monotonic clock of the machine. */
  readonly times: readonly number[]
}

/** Requests to the agent's process. Watching the event loop costs it one percent of a core. */
export interface UsageQuestion {
  readonly watch: boolean
}

/** The usage of the agent's process since the last request, and its present memory. */
export interface Usage {
  readonly cpuMs: number
  readonly elapsedMs: number
  /** The delay of the event loop; zeros if it was not watched. */
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly heapMib: number
  readonly rssMib: number
}
