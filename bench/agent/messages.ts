/** What the benchmark asks of a process of clients, and what it answers. Times in milliseconds. */
export type Order =
  | { readonly kind: 'hold'; readonly connections: number }
  | { readonly kind: 'rounds'; readonly times: number; readonly fresh: boolean }
  | { readonly kind: 'pushed' }

export interface Reply {
  /** `hold`, `rounds`: how long each took; `pushed`: when each stream had its next message, by the monotonic clock of the machine. */
  readonly times: readonly number[]
}

/** Asked of the agent's process. Watching the event loop costs it one percent of a core. */
export interface UsageQuestion {
  readonly watch: boolean
}

/** What the agent's process used since it was asked last, and its memory now. */
export interface Usage {
  readonly cpuMs: number
  readonly elapsedMs: number
  /** How late the event loop was; zeros where nobody watched. */
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly heapMib: number
  readonly rssMib: number
}
