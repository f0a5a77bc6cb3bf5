/** Spans of work that sends something: they begin before it is sent, because what is sent may name them. */
export interface RequestTracing {
  /** A request to the ICP server begins. */
  begin(endpoint: string): RequestSpan
}

export interface RequestSpan {
  /** Headers that hand the trace on; empty unless that is configured. */
  readonly headers: Readonly<Record<string, string>>
  /** `outcome`: `ok`, or an error code. */
  end(outcome: string): void
}
