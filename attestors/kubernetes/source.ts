/** Where the pods of this node come from: it writes into Pods what the platform says. */
export interface PodSource {
  /** Runs until the signal aborts; rejects only on a defect of our own. */
  run(signal: AbortSignal): Promise<void>
  /** Somebody waits for something newer. Costs nothing to say again and again. */
  want(): void
  /** Resolves when what is in Pods is as new as this source promises, or when there is nothing newer to be had. */
  current(signal: AbortSignal): Promise<void>
}
