import type { CallerEvents } from '../observability/caller-events.js'
import type { Clock } from '../ports/clock.js'
import type { Kernel } from '../ports/kernel.js'
import type { Random } from '../ports/random.js'
import type { WorkloadAttestor } from './attestor.js'
import type { Caller } from './caller.js'
import type { Workload } from './workload.js'

export interface WorkloadsOptions {
  readonly attestors: readonly WorkloadAttestor[]
  readonly kernel: Kernel
  readonly clock: Clock
  readonly random: Random
  readonly events: CallerEvents
  /** What the attestors together have, in milliseconds. */
  readonly deadlineMs: number
  /** How long a workload outlives its last holder, in milliseconds; default 30 s. */
  readonly lingerMs?: number
}

/** All workloads that hold a connection, or did a moment ago. */
export declare class Workloads implements Disposable {
  constructor(options: WorkloadsOptions)
  /**
   * The workload of a caller, counted: each acquire wants one `release()`. Takes over `caller.process`: it is disposed
   * here, at once when the workload is known already.
   */
  acquire(caller: Caller): Workload
  /** How many there are, for `/status`. */
  readonly size: number;
  [Symbol.iterator](): Iterator<Workload>
  [Symbol.dispose](): void
}
