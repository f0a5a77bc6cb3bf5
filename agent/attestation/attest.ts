import { AgentError, codeOf, type ErrorCode, messageOf } from '../errors.js'
import { platformOf, type Selectors } from '../identity/selector.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { Clock } from '../ports/clock.js'
import type { AttestorResult, Note, WorkloadAttestor } from './attestor.js'
import type { Caller } from './caller.js'

/** How long an attestor has after the abort to return what it knows. */
const GRACE_MS = 100
/** Limit of notes for each attestor, so that one cannot displace those of others. */
const MAX_NOTES = 16
const MAX_LINE_LENGTH = 300

/** Errors about the caller itself, whichever attestor meets them. */
const OF_CALLER: ReadonlySet<ErrorCode> = new Set(['caller.exited', 'caller.unidentified'])

/** Selectors by the attestor that found them; only that attestor can withdraw them. */
export type Known = ReadonlyMap<string, Selectors>

export interface Attestation {
  readonly selectors: Selectors
  readonly unavailable: readonly string[]
  readonly notes: readonly Note[]
  readonly known: Known
  /** The longest wait that an attestor asks for; 0: none does. */
  readonly waitMs: number
}

export interface AttestContext {
  readonly attestors: readonly WorkloadAttestor[]
  readonly clock: Clock
  readonly events: Pick<CallerEvents, 'attestorFailed' | 'attestorAnswered'>
  /** The deadline of all attestors together, in milliseconds. */
  readonly deadlineMs: number
}

/**
 * Asks all attestors concurrently and merges their results. For a platform that is unavailable now, the `known`
 * selectors are kept. Aborting the controller ends it early. Throws `attestation.failed` or `attestation.timeout` if no
 * attestor answered and nothing was known.
 */
export async function attest(
  context: AttestContext,
  caller: Caller,
  known: Known,
  controller: AbortController,
): Promise<Attestation> {
  const { attestors, clock, deadlineMs } = context
  const timers: Disposable[] = []
  try {
    const cut = new Promise<void>((resolve) => {
      const afterGrace = () => timers.push(clock.after(GRACE_MS, resolve))
      controller.signal.addEventListener('abort', afterGrace, { once: true })
      timers.push(clock.after(deadlineMs, () => controller.abort(overdue(deadlineMs))))
    })
    const outcomes = await Promise.all(attestors.map((attestor) => ask(context, attestor, caller, controller, cut)))
    return merge(attestors, outcomes, known)
  } finally {
    for (const timer of timers) timer[Symbol.dispose]()
  }
}

/**
 * Attests a process, and checks before and after that it is still the caller, so that all that was read belongs to this
 * process, this program and this control group. Returns an error if it is not; throws where `attest` does.
 */
export async function attestAsItself(
  context: AttestContext,
  caller: Caller,
  known: Known,
  controller: AbortController,
  check: () => AgentError | null,
): Promise<Attestation | AgentError> {
  const group = controlGroupOf(caller)
  const before = check()
  if (before) return before
  const result = await attest(context, caller, known, controller)
  const after = check()
  if (after) return after
  // Each attestor reads the control group itself, so their results fit together only if it has not changed.
  if (controlGroupOf(caller) === group) return result
  return new AgentError(
    'caller.unidentified',
    `process ${caller.pid} was moved to another control group while it was attested; that is tried again`,
  )
}

/** Null if it cannot be read: then no attestor can use it either. */
function controlGroupOf({ process }: Caller): string | null {
  try {
    return process.read('cgroup')
  } catch (error) {
    if (error instanceof AgentError) return null
    throw error
  }
}

type AttestorOutcome = AttestorResult | { readonly error: unknown }

async function ask(
  { events, clock, deadlineMs }: AttestContext,
  attestor: WorkloadAttestor,
  caller: Caller,
  controller: AbortController,
  cut: Promise<void>,
): Promise<AttestorOutcome> {
  const began = clock.monotonic()
  const answer = async (): Promise<AttestorOutcome> => {
    try {
      return await attestor.attest(caller, controller.signal)
    } catch (error) {
      return { error }
    }
  }
  const outcome = await Promise.race([answer(), cut.then(() => ({ error: overdue(deadlineMs) }))])
  // A process that has exited or cannot be seen is not a fault of the attestor.
  if (!caller.process.alive() || ('error' in outcome && OF_CALLER.has(codeOf(outcome.error)))) return outcome
  const asked = { caller, ms: clock.monotonic() - began }
  if ('error' in outcome) events.attestorFailed(attestor.name, outcome.error, asked)
  else events.attestorAnswered(attestor.name, asked)
  return outcome
}

function merge(
  attestors: readonly WorkloadAttestor[],
  outcomes: readonly AttestorOutcome[],
  before: Known,
): Attestation {
  const selectors = new Map<string, string>()
  const known = new Map<string, Selectors>()
  const unavailable = new Set<string>()
  let waitMs = 0
  const notes: Note[] = []
  const lines = new Map<string, number>()
  const note = (attestor: string, text: string): void => {
    const said = lines.get(attestor) ?? 0
    lines.set(attestor, said + 1)
    if (said < MAX_NOTES) notes.push({ attestor, text: text.slice(0, MAX_LINE_LENGTH) })
  }
  attestors.forEach((attestor, i) => {
    const result = resultOf(attestor, outcomes[i])
    for (const { text } of result.notes) note(attestor.name, text)
    const own = new Map<string, string>()
    for (const [key, value] of before.get(attestor.name) ?? []) {
      if (result.unavailable.includes(platformOf(key))) own.set(key, value)
    }
    if (own.size > 0)
      note(attestor.name, `kept ${own.size} selectors of the last attestation: their platform is unavailable`)
    for (const [key, value] of result.selectors) {
      // An attestor of containers must not be able to set `unix:uid`.
      if (attestor.platforms.includes(platformOf(key))) own.set(key, value)
      else note(attestor.name, `${key} left out: not a platform of this attestor`)
    }
    // One without anything to say, as where the machine has no container engine, is not named.
    if (!lines.has(attestor.name) && own.size > 0) note(attestor.name, `selectors found: ${own.size}`)
    known.set(attestor.name, own)
    for (const platform of result.unavailable) unavailable.add(platform)
    waitMs = Math.max(waitMs, result.waitMs ?? 0)
    for (const [key, value] of own) {
      const other = selectors.get(key)
      if (other === undefined) selectors.set(key, value)
      else if (other !== value) note(attestor.name, `${key} left out: another attestor found another value`)
    }
  })
  const errors = outcomes.flatMap((outcome) => ('error' in outcome ? [outcome.error] : []))
  if (errors.length > 0 && errors.length === outcomes.length && selectors.size === 0) throw allFailed(errors)
  return { selectors, unavailable: [...unavailable].sort(), notes, known, waitMs }
}

function resultOf(attestor: WorkloadAttestor, outcome: AttestorOutcome | undefined): AttestorResult {
  if (outcome && !('error' in outcome)) return outcome
  const why = outcome ? messageOf(outcome.error) : 'no answer'
  return {
    selectors: new Map(),
    unavailable: attestor.platforms,
    notes: [{ attestor: attestor.name, text: `failed: ${why}` }],
  }
}

function allFailed(errors: readonly unknown[]): AgentError {
  const late = errors.every((error) => error instanceof AgentError && error.code === 'attestation.timeout')
  return new AgentError(
    late ? 'attestation.timeout' : 'attestation.failed',
    `no attestor could say what the caller is (${messageOf(errors[0])}); see the agent's log`,
    { cause: errors[0] },
  )
}

function overdue(deadlineMs: number): AgentError {
  return new AgentError('attestation.timeout', `no answer within ${deadlineMs} ms`)
}
