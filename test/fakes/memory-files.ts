import type { Files } from '../../agent/ports/files.js'

/** One operation on the disk, as a hook sees it. */
export interface DiskOperation {
  readonly call: 'read' | 'write' | 'rename' | 'remove'
  readonly path: string
  readonly when: 'before' | 'after'
}

/**
 * A disk in memory, for tests of what happens between its operations: everything settles in the same turn of the event
 * loop, so that a fake clock need not wait. What a real disk does wrong is TemporaryFiles' affair.
 */
export class MemoryFiles implements Files {
  readonly content = new Map<string, Buffer>()
  readonly modes = new Map<string, number>()
  /** Called around each operation; what it throws is what the operation throws. */
  hook: (operation: DiskOperation) => void = () => undefined

  async read(path: string): Promise<Buffer | null> {
    return this.#around('read', path, () => this.content.get(path) ?? null)
  }
  async writeAtomically(path: string, content: Uint8Array, mode = 0o600): Promise<void> {
    this.#around('write', path, () => {
      this.content.set(path, Buffer.from(content))
      this.modes.set(path, mode)
    })
  }
  async makeDirectory(): Promise<void> {
    return
  }
  async identity(path: string): Promise<string | null> {
    return this.content.has(path) ? path : null
  }
  async list(path: string): Promise<readonly string[]> {
    const prefix = `${path}/`
    return [...this.content.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  }
  async rename(from: string, to: string): Promise<void> {
    this.#around('rename', from, () => {
      const content = this.content.get(from)
      if (content) this.content.set(to, content)
      this.content.delete(from)
    })
  }
  async remove(path: string): Promise<void> {
    this.#around('remove', path, () => void this.content.delete(path))
  }

  #around<T>(call: DiskOperation['call'], path: string, work: () => T): T {
    this.hook({ call, path, when: 'before' })
    const result = work()
    this.hook({ call, path, when: 'after' })
    return result
  }
}
