import os from 'node:os'
import type { Clock } from '../ports/clock.js'
import type { NodeFacts } from '../ports/node-facts.js'

const DEADLINE_MS = 3000

/** What systeminformation says of the operating system; the part that is used. */
export type OsInfo = () => Promise<{ readonly distro: string; readonly release: string; readonly kernel: string }>

/**
 * The facts of this machine, read once at start: systeminformation spawns a dozen processes for the name of the
 * distribution, so it is asked a single time, never on a call's path, and what it does not say within the deadline
 * (3 s) is left at what Node knows by itself. Never throws.
 */
export async function readNodeFacts(clock: Pick<Clock, 'after'>, osInfo: OsInfo = fromSystem): Promise<NodeFacts> {
  const plain: NodeFacts = {
    hostname: os.hostname(),
    username: username(),
    os: os.platform(),
    kernel: os.release(),
    arch: os.arch(),
    cpus: os.cpus().length,
    memoryBytes: os.totalmem(),
  }
  const said = await orNull(clock, osInfo)
  if (!said) return plain
  const name = [said.distro, said.release].filter((part) => part && part !== 'unknown').join(' ')
  return { ...plain, os: name || plain.os, kernel: said.kernel || plain.kernel }
}

/** Loaded only here: half of its 20,000 lines are for other systems. */
const fromSystem: OsInfo = async () => {
  const { default: system } = await import('systeminformation')
  return await system.osInfo()
}

/** The answer, or null when it fails or takes too long; a late answer is dropped. */
function orNull<T>(clock: Pick<Clock, 'after'>, ask: () => Promise<T>): Promise<T | null> {
  return new Promise((resolve) => {
    const deadline = clock.after(DEADLINE_MS, () => resolve(null))
    const settle = (answer: T | null) => {
      deadline[Symbol.dispose]()
      resolve(answer)
    }
    ask().then(settle, () => settle(null))
  })
}

/** os.userInfo throws for a uid without an entry, which is usual in containers. */
function username(): string {
  try {
    return os.userInfo().username
  } catch {
    return String(process.getuid?.() ?? '')
  }
}
