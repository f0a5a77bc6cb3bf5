import type { Known } from './attest.js'

/** The known selectors for which `stays` is true. */
export function filterKnown(known: Known, stays: (attestor: string, key: string) => boolean): Known {
  return new Map([...known].map(([name, own]) => [name, new Map([...own].filter(([key]) => stays(name, key)))]))
}

/** Whether an attestor has found this selector. */
export function isKnown(known: Known, key: string, value: string): boolean {
  return [...known.values()].some((own) => own.get(key) === value)
}
