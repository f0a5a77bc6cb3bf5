import { createHash } from 'node:crypto'
import { Secret } from '../crypto/secret.js'
import type { Files } from '../ports/files.js'

const MAX_BYTES = 16 * 1024

export interface JoinTokenOptions {
  /** `agent.join_token`. */
  readonly token: Secret | null
  /** `agent.join_token_path`; the file takes precedence over `token`, because it can be replaced while the agent runs. */
  readonly path: string | null
}

export interface JoinToken {
  readonly token: Secret
  /** Lower-case hex SHA-256: distinguishes a fresh token from a used one without revealing it. */
  readonly digest: string
}

/** The source of join tokens. Reads the file at each use, so that a new token needs no restart. */
export class JoinTokenSource {
  constructor(
    private readonly files: Pick<Files, 'read'>,
    private readonly options: JoinTokenOptions,
  ) {}

  /** The present token, trimmed; null if none is configured, or the file is missing or empty. Throws `file.*`. */
  async read(): Promise<JoinToken | null> {
    const content = this.options.path ? await this.files.read(this.options.path, { maxBytes: MAX_BYTES }) : null
    const text = content?.toString('utf8').trim() || this.options.token?.reveal().trim()
    if (!text) return null
    return { token: new Secret(text), digest: createHash('sha256').update(text).digest('hex') }
  }

  /** True if a token or its file is configured. */
  get configured(): boolean {
    return this.watchable || this.options.token !== null
  }

  /** True if a token can appear while the agent runs. */
  get watchable(): boolean {
    return this.options.path !== null
  }

  /** What an administrator must do with a new token, as the end of a sentence. */
  get remedy(): string {
    return this.options.path
      ? `put a new join token into ${this.options.path}; it is picked up without a restart`
      : 'set agent.join_token_path (or agent.join_token) to a new join token and restart the agent'
  }

  /** Why there is no token, and what to do, as the end of a sentence. */
  get absence(): string {
    return this.options.path
      ? `${this.options.path} holds no join token: create one on the server and put it there`
      : 'no join token is configured: set agent.join_token_path or agent.join_token'
  }
}
