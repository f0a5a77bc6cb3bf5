import type { Case, Figure } from './cases.js'
export interface Results {
  readonly repetitions: number
  readonly figures: (Figure & { case: string; target: string; repetition: number })[]
}
export function writeReport(_root: string, _results: Results, _cases: readonly Case[]): void {}
