/** Fields of a log line. Values of type Secret print as `[redacted]`. */
export type Fields = Readonly<Record<string, unknown>>

/** Where log lines go. The event is a constant text; what varies is in the fields. */
export interface Log {
  debug(event: string, fields?: Fields): void
  info(event: string, fields?: Fields): void
  warn(event: string, fields?: Fields): void
  error(event: string, fields?: Fields): void
  /** The same sink under a logger name of its own. */
  named(logger: string): Log
}
