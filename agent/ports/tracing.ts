/** Spans of requests. They begin before the request is sent, because its headers may contain them. */
export interface RequestTracing {
  /** A request to the ICP server begins. */
  begin(endpoint: string): RequestSpan
}

export interface RequestSpan {
  /** Headers that propagate the trace; empty unless configured. */
  readonly headers: Readonly<Record<string, string>>
  /** `outcome`: `ok`, or an error code. */
  end(outcome: string): void
}
