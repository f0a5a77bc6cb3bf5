import { join, resolve } from 'node:path'
import * as z from 'zod'
import { AgentError, codeOf } from '../errors.js'
import { ICP_SERVER, icpError } from '../icp/transport.js'
import { jsonOf } from '../lib/json.js'
import { Disk } from '../platform/disk.js'
import { createHttpClient } from '../platform/undici-http.js'
import type { HttpClient } from '../ports/http.js'
import { misused } from './arguments.js'

/** The file by which commands find an embedded ICP server in its directory. */
export interface ServerFile {
  readonly address: string
  readonly tenant_id: string
  /** The trust domain of workloads, and of SPIFFE IDs that are given as a path. */
  readonly trust_domain: string
}

const FILE = 'server.json'
const MAX_BYTES = 64 * 1024
const TIMEOUT_MS = 10_000

const entry = z.object({
  id: z.string(),
  spiffe_id: z.string(),
  selectors: z.record(z.string(), z.string()),
  ttl: z.number().nullish(),
  parent_id: z.string().nullish(),
})
const list = z.object({ entries: z.array(entry).nullable() })

/** A registration entry in the server's form. */
export type DevIcpEntry = z.infer<typeof entry>

const serverFile = z.object({ address: z.url(), tenant_id: z.string(), trust_domain: z.string() })
const refusal = z.object({ error: z.object({ message: z.string() }) })

/** Writes the present address into the server's directory. */
export async function writeServerFile(dataDir: string, server: ServerFile): Promise<void> {
  await new Disk().writeAtomically(join(dataDir, FILE), Buffer.from(`${JSON.stringify(server, null, 2)}\n`))
}

/** The administrative client of an embedded ICP server on this machine. */
export class DevIcpAdmin implements AsyncDisposable {
  readonly #http: HttpClient

  private constructor(
    readonly server: ServerFile,
    private readonly dir: string,
    private readonly token: string,
    ca: string,
  ) {
    this.#http = createHttpClient({ tls: () => ({ ca: [ca] }), roots: () => [], peer: ICP_SERVER })
  }

  /** Finds the server by its `--data` directory. Throws `command.misused` if no server uses it. */
  static async in(dataDir: string, token: string | undefined): Promise<DevIcpAdmin> {
    const dir = resolve(dataDir)
    const read = async (name: string) =>
      (await new Disk().read(join(dir, name), { maxBytes: MAX_BYTES }))?.toString('utf8').trim() ?? null
    const [file, ca, own] = await Promise.all([read(FILE), read('ca.pem'), token ?? read('admin-token')])
    if (file === null || ca === null) {
      throw misused(`no embedded ICP server has run in ${dir}: start one with icp-agent dev-icp --data ${dir}`)
    }
    if (!own) throw misused('the token of the administrator is needed: ICP_DEV_ADMIN_TOKEN')
    const { data } = serverFile.safeParse(jsonOf(file))
    if (!data) throw misused(`${join(dir, FILE)} is not what icp-agent dev-icp writes: start the server again`)
    return new DevIcpAdmin(data, dir, own, ca)
  }

  async createEntry(wanted: Readonly<Record<string, unknown>>): Promise<DevIcpEntry> {
    return entry.parse(await this.#request('POST', '/v1/entries', wanted))
  }

  /** Youngest first, at most 1000. */
  async entries(): Promise<readonly DevIcpEntry[]> {
    return list.parse(await this.#request('GET', '/v1/entries?limit=1000')).entries ?? []
  }

  async deleteEntry(id: string): Promise<void> {
    await this.#request('DELETE', `/v1/entries/${encodeURIComponent(id)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
  }

  /** The body of the answer. A refusal is `icp.bad_request` with the server's message. */
  async #request(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const { status, body: answer } = await this.#http
      .request({
        method,
        url: this.server.address + path,
        headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        timeoutMs: TIMEOUT_MS,
        maxBytes: 16 * 1024 * 1024,
        withoutIdentity: true,
      })
      .catch((error: unknown) => {
        const failure = icpError(error)
        if (codeOf(failure) !== 'icp.unreachable') throw failure
        throw misused(
          `the embedded ICP server of ${this.dir} does not run: start it with icp-agent dev-icp --data ${this.dir}`,
        )
      })
    const parsed = jsonOf(answer.toString('utf8'))
    if (status >= 200 && status < 300) return parsed
    const why = refusal.safeParse(parsed).data?.error.message ?? `it answered ${status}`
    throw new AgentError('icp.bad_request', `the embedded ICP server refuses: ${why}`)
  }
}
