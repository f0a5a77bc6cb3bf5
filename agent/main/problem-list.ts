import type { Problem } from '../config/problem.js'
import type { Style } from './terminal/style.js'
import { table } from './terminal/table.js'

/** Problems of a configuration as a table, each with its remedy on the next line. */
export function problemList(problems: readonly Problem[], { bold, dim, cyan }: Style): string {
  const columns = [{ paint: bold }, { paint: dim }, {}]
  const lines = table(
    columns,
    problems.map(({ key, source, problem }) => [key, source, problem]),
  ).split('\n')
  const remedies = table(
    [{ paint: cyan }, {}],
    problems.map(({ remedy }) => ['→', remedy]),
    4,
  ).split('\n')
  return problems.map((_, i) => `${lines[i]}\n${remedies[i]}\n`).join('')
}
