import { Secret } from '../../agent/crypto/secret.js'
import { AgentError, messageOf } from '../../agent/errors.js'
import type { Files } from '../../agent/ports/files.js'
import type { HttpClient, HttpStream, TlsSettings } from '../../agent/ports/http.js'
import { refusalOf } from './api-errors.js'

/** Opens a client that trusts only what it is told. */
export type OpenHttp = (tls: () => TlsSettings) => HttpClient

export interface ApiOptions {
  readonly files: Pick<Files, 'read'>
  readonly openHttp: OpenHttp
  /** `https://10.96.0.1:443`, without a trailing slash. */
  readonly address: string
  readonly tokenPath: string
  readonly caPath: string
  /** The setting that `caPath` comes from, for messages. */
  readonly caSetting: string
}

const MAX_TOKEN_BYTES = 64 * 1024
const MAX_CA_BYTES = 1024 * 1024
const MAX_ERROR_BYTES = 64 * 1024
/** For the beginning of an answer; what follows has deadlines of its own. */
const ANSWER_TIMEOUT_MS = 30_000

/**
 * The API server, or a kubelet, as this node's service account sees it. Token and authority are read from their files
 * for each request: both rotate. All failures are `platform.unavailable`, with the HTTP status in `details.status`
 * where there was an answer.
 */
export class KubernetesApi implements AsyncDisposable {
  #ca: readonly string[] = []
  readonly #http: HttpClient

  constructor(private readonly options: ApiOptions) {
    this.#http = options.openHttp(() => ({ ca: this.#ca }))
  }

  get address(): string {
    return this.options.address
  }

  /** GET; resolves when the answer begins with 200. The body lasts for as long as the signal and the server like. */
  async open(path: string, signal: AbortSignal): Promise<HttpStream> {
    await this.#readCa()
    const token = await this.#readToken()
    const stream = await this.#send(path, token, signal)
    if (stream.status !== 401) return await this.#accepted(stream)
    const refusal = await this.#refusal(stream)
    const fresh = await this.#readToken()
    // It was replaced in between; the same one again would be refused again.
    if (fresh.reveal() === token.reveal()) throw refusal
    return await this.#accepted(await this.#send(path, fresh, signal))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
  }

  async #accepted(stream: HttpStream): Promise<HttpStream> {
    if (stream.status === 200) return stream
    throw await this.#refusal(stream)
  }

  async #refusal(stream: HttpStream): Promise<AgentError> {
    return refusalOf(this.options, stream.status, stream.headers, await errorText(stream))
  }

  async #send(path: string, token: Secret, signal: AbortSignal): Promise<HttpStream> {
    try {
      const stream = await this.#http.stream({
        method: 'GET',
        url: this.options.address + path,
        headers: { accept: 'application/json', authorization: `Bearer ${token.reveal()}` },
        timeoutMs: ANSWER_TIMEOUT_MS,
        maxBytes: 0,
        signal,
        withoutIdentity: true,
      })
      return { ...stream, body: this.#translated(stream.body, signal) }
    } catch (error) {
      throw this.#unreachable(error, signal)
    }
  }

  async *#translated(body: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
    try {
      yield* body
    } catch (error) {
      throw this.#unreachable(error, signal, { brokeOff: true })
    }
  }

  #unreachable(error: unknown, signal: AbortSignal, details = {}): unknown {
    if (signal.aborted || !(error instanceof AgentError)) return error
    const { address, caPath, caSetting } = this.options
    const certificate = `its certificate does not come from the authority in ${caPath} (${caSetting})`
    const text =
      error.code === 'icp.tls'
        ? `${address}: ${CERTIFICATE[String(error.details['reason'])] ?? certificate}`
        : messageOf(error)
    return new AgentError('platform.unavailable', `Kubernetes cannot be reached: ${text}`, { cause: error, details })
  }

  async #readToken(): Promise<Secret> {
    const { files, tokenPath } = this.options
    const token = (await files.read(tokenPath, { maxBytes: MAX_TOKEN_BYTES }))?.toString('utf8').trim() ?? ''
    if (token !== '') return new Secret(token)
    throw unavailable(
      `there is no token for the Kubernetes API at ${tokenPath}: mount the service account's (automountServiceAccountToken), or set attestation.kubernetes.api_token_path`,
    )
  }

  async #readCa(): Promise<void> {
    const { files, caPath, caSetting } = this.options
    const pem = (await files.read(caPath, { maxBytes: MAX_CA_BYTES }))?.toString('utf8') ?? null
    if (pem === null) {
      throw unavailable(
        `there is no authority of the Kubernetes API at ${caPath}: a token that is projected into the same directory hides it, so mount that token elsewhere, or set ${caSetting}`,
      )
    }
    if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw unavailable(`${caPath} holds no certificate (${caSetting})`)
    if (pem !== this.#ca[0]) this.#ca = [pem]
  }
}

/** What the server says about its refusal, at most 64 KiB of it. The stream is over then. */
async function errorText(stream: HttpStream): Promise<string> {
  using refused = stream
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of refused.body) {
      pieces.push(piece)
      bytes += piece.length
      if (bytes > MAX_ERROR_BYTES) break
    }
  } catch (error) {
    // The status says enough when the rest is cut off.
    if (!(error instanceof AgentError)) throw error
  }
  return Buffer.concat(pieces).toString('utf8')
}

const CERTIFICATE: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name or address',
  CERT_HAS_EXPIRED: 'its certificate has expired, or the clock of this machine is wrong',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: is the clock of this machine right?',
}

function unavailable(message: string): AgentError {
  return new AgentError('platform.unavailable', message)
}
