import { Secret } from '../../agent/crypto/secret.js'
import { AgentError, type DetailsOf, messageOf } from '../../agent/errors.js'
import { anchorFileTrouble } from '../../agent/identity/anchor-file.js'
import { jsonOf } from '../../agent/lib/json.js'
import type { FileReports } from '../../agent/observability/file-events.js'
import { RereadFile } from '../../agent/observability/reread-file.js'
import type { Files } from '../../agent/ports/files.js'
import { type HttpClient, HttpError, type HttpStream, type HttpTls } from '../../agent/ports/http.js'
import { refusalOf } from './api-errors.js'
import { tokenFile } from './token-file.js'

/** Opens a client that trusts only the given roots. */
export type OpenHttp = (tls: () => HttpTls) => HttpClient

export interface ApiOptions {
  readonly files: Pick<Files, 'read'>
  readonly fileEvents: FileReports
  readonly openHttp: OpenHttp
  /** `https://10.96.0.1:443`, without a trailing slash. */
  readonly address: string
  readonly tokenPath: string
  readonly caPath: string
  /** The setting that `caPath` comes from, for messages. */
  readonly caSetting: string
  /** The setting that `tokenPath` comes from. Default: `attestation.kubernetes.api_token_path`. */
  readonly tokenSetting?: string
}

/** One request to the API. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: unknown
  /** The required permission as a text, for a 403. Absent: that for listing pods. */
  readonly needs?: string
}

const MAX_CA_BYTES = 1024 * 1024
const MAX_ERROR_BYTES = 64 * 1024
/** etcd accepts 1.5 MiB per object, and JSON escapes each line of a PEM. */
const MAX_OBJECT_BYTES = 4 * 1024 * 1024
const TOKEN_SETTING = 'attestation.kubernetes.api_token_path'
/** Until the answer begins; its body has a deadline of its own. */
const ANSWER_TIMEOUT_MS = 30_000

/**
 * The API server, or a kubelet, with the service account of this node. Token and authority are read from their files for
 * each request, because both rotate; if a file breaks, its last good content stays in use. All failures are
 * `platform.unavailable`, with the HTTP status in `details.status` if there was an answer.
 */
export class KubernetesApi implements AsyncDisposable {
  #ca: readonly string[] = []
  readonly #http: HttpClient
  readonly #caFile: RereadFile
  readonly #tokenFile: RereadFile
  /** The last token that the server accepted. */
  #accepted: Secret | null = null

  constructor(private readonly options: ApiOptions) {
    const { files, fileEvents, caPath, caSetting, tokenPath } = options
    const problemOf = (text: string) => anchorFileTrouble(text, caPath)?.problem ?? null
    const recurring = fileEvents.file(caPath, caSetting)
    this.#caFile = new RereadFile({ path: caPath, maxBytes: MAX_CA_BYTES, files, problemOf, recurring })
    this.#tokenFile = tokenFile(options, tokenPath, this.#tokenSetting)
    this.#http = options.openHttp(() => ({ ca: this.#ca }))
  }

  get address(): string {
    return this.options.address
  }

  get #tokenSetting(): string {
    return this.options.tokenSetting ?? TOKEN_SETTING
  }

  /** GET; resolves when a 200 answer begins. The body ends with the server or the signal. */
  async open(path: string, signal: AbortSignal): Promise<HttpStream> {
    return await this.#exchange({ method: 'GET', path }, signal)
  }

  /** Reads one object completely; null if the answer is not JSON. */
  async ask(request: ApiRequest, signal: AbortSignal): Promise<unknown> {
    using stream = await this.#exchange(request, signal)
    const { text, whole } = await bounded(stream, MAX_OBJECT_BYTES)
    if (!whole) throw unavailable(`the answer of Kubernetes is larger than ${MAX_OBJECT_BYTES} bytes: ${request.path}`)
    return jsonOf(text)
  }

  async #exchange(request: ApiRequest, signal: AbortSignal): Promise<HttpStream> {
    await this.#readCa()
    const token = await this.#readToken()
    const stream = await this.#send(request, token, signal)
    if (stream.status !== 401) return await this.#taken(stream, token, request)
    const refusal = await this.#refusal(stream, request)
    const other = await this.#otherThan(token)
    if (other === null) throw refusal
    const again = await this.#taken(await this.#send(request, other, signal), other, request)
    this.#tokenFile.refuse(
      token.reveal(),
      'holds a token that the server refuses (401), unlike the one before',
      other.reveal(),
    )
    return again
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
  }

  /** After a 401: another token, that of the file now, else the one that the server last accepted. */
  async #otherThan(refused: Secret): Promise<Secret | null> {
    this.#tokenFile.forgive()
    const others = [await this.#readToken(), this.#accepted]
    return others.find((token) => token !== null && token.reveal() !== refused.reveal()) ?? null
  }

  async #taken(stream: HttpStream, token: Secret, request: ApiRequest): Promise<HttpStream> {
    if (stream.status !== 401) this.#accepted = token
    if (stream.status === 200 || (stream.status === 201 && request.method === 'POST')) return stream
    throw await this.#refusal(stream, request)
  }

  async #refusal(stream: HttpStream, { needs }: ApiRequest): Promise<AgentError> {
    return refusalOf({ ...this.options, needs }, stream.status, stream.headers, await errorText(stream))
  }

  async #send({ method, path, body }: ApiRequest, token: Secret, signal: AbortSignal): Promise<HttpStream> {
    const json = body === undefined ? {} : { 'content-type': 'application/json' }
    try {
      const stream = await this.#http.stream({
        method,
        url: this.options.address + path,
        headers: { accept: 'application/json', authorization: `Bearer ${token.reveal()}`, ...json },
        ...(body !== undefined && { body: JSON.stringify(body) }),
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

  #unreachable(error: unknown, signal: AbortSignal, details: DetailsOf<'platform.unavailable'> = {}): unknown {
    if (signal.aborted || !(error instanceof HttpError)) return error
    const { address, caPath, caSetting } = this.options
    const certificate = `its certificate does not come from the authority in ${caPath} (${caSetting})`
    const text =
      error.failure === 'tls'
        ? `${address}: ${CERTIFICATE[String(error.details.reason)] ?? certificate}`
        : messageOf(error)
    return new AgentError('platform.unavailable', `Kubernetes cannot be reached: ${text}`, { cause: error, details })
  }

  async #readToken(): Promise<Secret> {
    const { tokenPath } = this.options
    const token = (await usable(this.#tokenFile, this.#tokenSetting))?.trim()
    if (token) return new Secret(token)
    throw unavailable(
      `there is no token for the Kubernetes API at ${tokenPath}: mount the service account's (automountServiceAccountToken), or set ${this.#tokenSetting}`,
    )
  }

  async #readCa(): Promise<void> {
    const { caPath, caSetting } = this.options
    const pem = await usable(this.#caFile, caSetting)
    if (pem === null) {
      throw unavailable(
        `there is no authority of the Kubernetes API at ${caPath}: a token that is projected into the same directory hides it, so mount that token elsewhere, or set ${caSetting}`,
      )
    }
    if (pem !== this.#ca[0]) this.#ca = [pem]
  }
}

/** The content in force, or null; the error for a file that was never usable names its setting. */
async function usable(file: RereadFile, setting: string): Promise<string | null> {
  try {
    return await file.read()
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'file.broken') throw error
    throw unavailable(`${error.message} (${setting})`)
  }
}

/** The body of an error answer, at most 64 KiB. Ends the stream. */
async function errorText(stream: HttpStream): Promise<string> {
  using refused = stream
  try {
    return (await bounded(refused, MAX_ERROR_BYTES)).text
  } catch (error) {
    // If the body is cut off, the status is enough.
    if (!(error instanceof AgentError)) throw error
    return ''
  }
}

async function bounded(
  { body }: Pick<HttpStream, 'body'>,
  maxBytes: number,
): Promise<{ readonly text: string; readonly whole: boolean }> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of body) {
    // The connection may reuse the buffer.
    pieces.push(Buffer.from(piece))
    bytes += piece.length
    if (bytes > maxBytes) break
  }
  return { text: Buffer.concat(pieces).toString('utf8'), whole: bytes <= maxBytes }
}

const CERTIFICATE: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name or address',
  CERT_HAS_EXPIRED: 'its certificate has expired, or the clock of this machine is wrong',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: is the clock of this machine right?',
}

function unavailable(message: string): AgentError {
  return new AgentError('platform.unavailable', message)
}
