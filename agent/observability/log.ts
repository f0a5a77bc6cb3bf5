import type { Lines } from './lines/index.js'
import type { FieldKinds } from './lines/spec.js'

/** Fields of a log line. Values of type Secret print as `[redacted]`. */
export type Fields = Readonly<Record<string, unknown>>

/** The methods of a log, and the levels of its lines. */
export type Level = 'debug' | 'info' | 'warn' | 'error'

/** The constant text of a log line; what varies is in its fields. */
export type Message = keyof Lines

type MethodOf = { readonly debug: 'debug'; readonly info: 'info'; readonly warning: 'warn'; readonly error: 'error' }
/** `warning, then debug`: both. */
type LevelsIn<T> = T extends `${infer First}, then ${infer Second}`
  ? LevelsIn<First> | LevelsIn<Second>
  : T extends keyof MethodOf
    ? MethodOf[T]
    : never
type LevelsOf<M extends Message> = LevelsIn<Lines[M]['level']>

/** Lines that may be written at the level. */
export type MessageAt<L extends Level> = { [M in Message]: L extends LevelsOf<M> ? M : never }[Message]

type Required<T> = { readonly [K in keyof T as K extends `${string}?` ? never : K]: Kind<T[K]> }
type Optional<T> = { readonly [K in keyof T as K extends `${infer Name}?` ? Name : never]?: Kind<T[K]> | undefined }
type Kind<K> = K extends keyof FieldKinds ? FieldKinds[K] : never

export type FieldsOf<M extends Message> = Required<Lines[M]['fields']> & Optional<Lines[M]['fields']>

/** The parameters after the text: the fields, if the line has any. */
export type FieldsAfter<T> = keyof T extends never ? [] : Partial<T> extends T ? [fields?: T] : [fields: T]

/** The sink of log lines. A text, level or field that is not in the table (`lines/`) does not compile. */
export interface Log {
  debug<M extends MessageAt<'debug'>>(event: M, ...fields: FieldsAfter<FieldsOf<M>>): void
  info<M extends MessageAt<'info'>>(event: M, ...fields: FieldsAfter<FieldsOf<M>>): void
  warn<M extends MessageAt<'warn'>>(event: M, ...fields: FieldsAfter<FieldsOf<M>>): void
  error<M extends MessageAt<'error'>>(event: M, ...fields: FieldsAfter<FieldsOf<M>>): void
  /** The same at a level that is computed. */
  at<L extends Level, M extends MessageAt<L>>(level: L, event: M, ...fields: FieldsAfter<FieldsOf<M>>): void
  /** The same sink under a logger name of its own. */
  named(logger: string): Log
}
