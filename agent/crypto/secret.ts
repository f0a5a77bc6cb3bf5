import { inspect } from 'node:util'

/** A value that must never be printed: it shows as `[redacted]` in logs, JSON and inspection. */
export class Secret<T = string> {
  readonly #value: T
  constructor(value: T) {
    this.#value = value
  }
  /** The value itself; call it only where it is used, and never put the result into a message. */
  reveal(): T {
    return this.#value
  }
  toString(): string {
    return '[redacted]'
  }
  toJSON(): string {
    return '[redacted]'
  }
  [inspect.custom](): string {
    return '[redacted]'
  }
}
