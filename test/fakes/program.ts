import { statSync } from 'node:fs'
import type { ExecutableId, OpenExecutable } from '../../agent/ports/kernel.js'

/** A program by its path, held by nothing but the count of its holds. `id`: by default what the path leads to now. */
export function programAt(file: string, id: ExecutableId = idOf(file)): OpenExecutable & { readonly holds: number } {
  let holds = 0
  const hold = (): Disposable => {
    holds++
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (held) holds--
        held = false
      },
    }
  }
  return {
    id,
    file,
    path: () => file,
    hold,
    get holds() {
      return holds
    },
    [Symbol.dispose]: () => {},
  }
}

function idOf(path: string): ExecutableId {
  const { dev, ino } = statSync(path, { bigint: true })
  return { device: dev, inode: ino, mount: null }
}
