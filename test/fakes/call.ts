import { EventEmitter } from 'node:events'
import type { StatusObject } from '@grpc/grpc-js'
import type { Outgoing } from '../../agent/workload-api/stream.js'

/** A streaming call whose client reads when the test says so. */
export class FakeCall extends EventEmitter implements Outgoing {
  readonly written: string[] = []
  /** The statuses that it was ended with: one, or there is a defect. */
  readonly ended: StatusObject[] = []
  readonly #unread: (() => void)[] = []

  /** `reads`: the client reads at once, as it does unless told otherwise. */
  constructor(private readonly reads = true) {
    super()
    this.on('error', (error: StatusObject) => this.ended.push(error))
  }

  write(message: Buffer, written: () => void): boolean {
    if (this.ended.length > 0) throw new TypeError('written after the end')
    this.written.push(message.toString())
    if (this.reads) queueMicrotask(written)
    else this.#unread.push(written)
    return true
  }

  /** The client reads what is under way. */
  read(): void {
    for (const written of this.#unread.splice(0)) written()
  }

  /** The client goes away. */
  cancel(): void {
    this.emit('cancelled', 'cancelled')
  }

  get unread(): number {
    return this.#unread.length
  }
}
