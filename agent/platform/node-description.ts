import { readFile } from 'node:fs/promises'
import os from 'node:os'
import type { Clock } from '../ports/clock.js'
import type { NodeDescription } from '../ports/node-description.js'

const DEADLINE_MS = 3000

/** What systeminformation says of the operating system; the part that is used. */
export type OsInfo = () => Promise<{ readonly distro: string; readonly release: string; readonly kernel: string }>

/** The files with the name of the distribution (os-release(5)). */
const OS_RELEASE = ['/etc/os-release', '/usr/lib/os-release'] as const
const MAX_NAME = 100

/**
 * Describes this machine; read once at start, before the socket exists, so the name of the distribution comes from its
 * own file. systeminformation, which spawns a dozen processes, is used only without that file. What is unknown at the
 * deadline (3 s) keeps Node's value. Never throws.
 */
export async function describeNode(
  clock: Pick<Clock, 'after'>,
  { releaseFiles = OS_RELEASE, osInfo = fromSystem }: { releaseFiles?: readonly string[]; osInfo?: OsInfo } = {},
): Promise<NodeDescription> {
  const plain: NodeDescription = {
    hostname: os.hostname(),
    username: username(),
    os: os.platform(),
    kernel: os.release(),
    arch: os.arch(),
    cpus: os.cpus().length,
    memoryBytes: os.totalmem(),
  }
  const released = await orNull(clock, () => fromFiles(releaseFiles))
  if (released) return { ...plain, os: released }
  const said = await orNull(clock, osInfo)
  if (!said) return plain
  const name = [said.distro, said.release].filter((part) => part && part !== 'unknown').join(' ')
  return { ...plain, os: name || plain.os, kernel: said.kernel || plain.kernel }
}

/** The first name found in the files; null: none. */
async function fromFiles(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => '')
    const name = prettyName(text)
    if (name) return name
  }
  return null
}

/** `Debian GNU/Linux 12` of `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"`. */
function prettyName(text: string): string {
  const value = /^PRETTY_NAME=(["']?)(.*)\1\s*$/m.exec(text)?.[2] ?? ''
  return value
    .replace(/[^ -~]|\\/g, '')
    .replace(/ \([^)]*\)$/, '')
    .slice(0, MAX_NAME)
    .trim()
}

/** systeminformation is loaded only if needed: half of its 20,000 lines are for other systems. */
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
