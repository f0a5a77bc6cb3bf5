import type { Known } from './attest.js'

/** What is known without some selectors. */
export function filterKnown(known: Known, stays: (attestor: string, key: string) => boolean): Known {
  return new Map([...known].map(([name, own]) => [name, new Map([...own].filter(([key]) => stays(name, key)))]))
}

/** Whether an attestor has said it. */
export function isKnown(known: Known, key: string, value: string): boolean {
  return [...known.values()].some((own) => own.get(key) === value)
}
