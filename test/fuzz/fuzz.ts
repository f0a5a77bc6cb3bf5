import fc from 'fast-check'
import { vi } from 'vitest'
import { AgentError } from '../../agent/errors.js'

const asked = Number(process.env['FUZZ_RUNS'] ?? 0)
/** The same cases each time, unless FUZZ_SEED says otherwise; a failure prints the seed that finds it again. */
const seed = Number(process.env['FUZZ_SEED'] ?? 1)

/** How many cases: as many as the normal run has time for, or FUZZ_RUNS. */
export function runs(usual: number): { readonly numRuns: number; readonly seed: number } {
  return { numRuns: asked > 0 ? asked : usual, seed }
}

// Room for what FUZZ_RUNS asks. What takes no time with these inputs, and hangs, meets it as well.
vi.setConfig({ testTimeout: 60_000 + asked * 100 })

/** The property holds for every case. */
export function always<T>(usual: number, cases: fc.Arbitrary<T>, property: (one: T) => boolean | undefined): void {
  fc.assert(fc.property(cases, property), runs(usual))
}

export async function alwaysAsync<T>(
  usual: number,
  cases: fc.Arbitrary<T>,
  property: (one: T) => Promise<boolean | undefined>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(cases, property), runs(usual))
}

/** The result; null where the input was refused with a code that the agent refuses it with. Anything else is thrown. */
export function accepted<T>(codes: readonly string[], parse: () => T): T | null {
  try {
    return parse()
  } catch (error) {
    if (error instanceof AgentError && codes.includes(error.code)) return null
    throw error
  }
}

export async function acceptedAsync<T>(codes: readonly string[], parse: () => Promise<T>): Promise<T | null> {
  try {
    return await parse()
  } catch (error) {
    if (error instanceof AgentError && codes.includes(error.code)) return null
    throw error
  }
}
