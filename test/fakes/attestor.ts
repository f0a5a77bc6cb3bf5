import type { AttestorResult, WorkloadAttestor } from '../../agent/attestation/attestor.js'
import type { Caller } from '../../agent/attestation/caller.js'

/** An attestor that says what it is told to, when it is told to. */
export class FakeAttestor implements WorkloadAttestor {
  selectors: Record<string, string> = {}
  unavailable: readonly string[] = []
  fails: unknown = null
  /** While set, answers wait: for `answer()`, or for ever. */
  holds = false
  /** While holding, hands in what it has when the deadline comes. */
  minds = true
  /** Leaves no note. */
  silent = false
  calls = 0
  /** Runs in the middle of an attestation. */
  meanwhile: () => void = () => {}
  readonly watched = new Set<() => void>()
  #waiting: (() => void)[] = []

  constructor(
    readonly name: string,
    readonly platforms: readonly string[] = [name],
  ) {}

  async attest(_caller: Caller, signal: AbortSignal): Promise<AttestorResult> {
    this.calls++
    if (this.holds) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        if (this.minds) signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    this.meanwhile()
    if (this.fails) throw this.fails
    return {
      selectors: new Map(Object.entries(this.selectors)),
      unavailable: signal.aborted ? this.platforms : this.unavailable,
      notes: this.silent ? [] : [{ attestor: this.name, text: `call ${this.calls}` }],
    }
  }

  onChange(_caller: Caller, changed: () => void): Disposable {
    const own = () => changed()
    this.watched.add(own)
    return { [Symbol.dispose]: () => void this.watched.delete(own) }
  }

  /** Lets those that wait go on. */
  answer(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  change(): void {
    for (const changed of [...this.watched]) changed()
  }
}
