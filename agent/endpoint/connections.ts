/** All open connections, counted in total, by subject and by pid; those on which nothing is called are closed. */
export declare class Connections {
  readonly size: number
  /** A call began on the connection: it is not idle until the call has ended. */
  callStarted(id: string): void
  callEnded(id: string): void
  /** A sign of life without a call: the idle time begins anew. */
  touch(id: string): void
}
