import { type Attestation, type AttestContext, attest, type Known } from '../attestation/attest.js'
import type { Caller } from '../attestation/caller.js'
import { AgentError } from '../errors.js'

/**
 * Attests a process that is still the caller before and after: what was read in between belongs to this process, this
 * program and this control group, or does not count. Returns why not where it does not; throws where `attest` does.
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
  // Each attestor reads the control group for itself: what they say together is of one only if it stayed.
  if (controlGroupOf(caller) === group) return result
  return new AgentError(
    'caller.unidentified',
    `process ${caller.pid} was moved to another control group while it was attested; that is tried again`,
  )
}

/** Null where it cannot be read: then no attestor has any use for it either. */
function controlGroupOf({ process }: Caller): string | null {
  try {
    return process.read('cgroup')
  } catch (error) {
    if (error instanceof AgentError) return null
    throw error
  }
}
