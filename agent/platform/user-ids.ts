import { readFileSync } from 'node:fs'
import { errnoOf } from './io-error.js'

const MAX_ID = 0xfffffffe

/** The id of a user or group, given as a number or as a name in `/etc/passwd` or `/etc/group`; null: unknown. */
export function idOf(kind: 'user' | 'group', name: string): number | null {
  if (/^\d{1,10}$/.test(name)) return Number(name) <= MAX_ID ? Number(name) : null
  for (const line of lines(kind === 'user' ? '/etc/passwd' : '/etc/group')) {
    const [found, , id = ''] = line.split(':')
    if (found === name && /^\d{1,10}$/.test(id)) return Number(id)
  }
  return null
}

function lines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch (error) {
    if (errnoOf(error) === null) throw error
    return []
  }
}
