import { request } from 'node:https'

/** The administrative requests of the demo to the embedded ICP server. */
export class Admin {
  constructor(
    private readonly address: string,
    private readonly ca: string,
    private readonly token: string,
  ) {}

  async createEntry(entry: {
    readonly spiffeId: string
    readonly parentId: string
    readonly selectors: Readonly<Record<string, string>>
  }): Promise<void> {
    const { spiffeId, parentId, selectors } = entry
    await this.#post('/v1/entries', { spiffe_id: spiffeId, parent_id: parentId, selectors })
  }

  /** A single-use token with which one node may attest. */
  async createJoinToken(): Promise<string> {
    const { token } = await this.#post('/v1/join-tokens', { ttl_seconds: 600, description: 'demo' })
    if (typeof token !== 'string') throw new Error('the ICP server answered without a join token')
    return token
  }

  #post(path: string, body: object): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' }
      const call = request(
        `${this.address}${path}`,
        { method: 'POST', ca: this.ca, headers, agent: false },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8')
            if ((answer.statusCode ?? 500) < 300) resolve(JSON.parse(text))
            else reject(new Error(`the ICP server answers ${path} with ${answer.statusCode}: ${text.slice(0, 300)}`))
          })
        },
      )
      call.on('error', reject)
      call.end(JSON.stringify(body))
    })
  }
}
