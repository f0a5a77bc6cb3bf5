import { readFileSync } from 'node:fs'
import { until } from './until.js'

/** The first child of a process, once it has one. Never 0, which for kill(2) is the group of the caller. */
export async function childOf(pid: number): Promise<number> {
  let child = 0
  await until(
    () => {
      child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0])
      return child > 0
    },
    { what: `process ${pid} has a child` },
  )
  return child
}
