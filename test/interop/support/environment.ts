import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import type { DevIcpOptions } from '../../../dev/icp-server/options.js'
import { startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { AgentProcess } from './agent-process.js'
import { ClientProcess } from './client-process.js'
import type { Program } from './programs.js'

/** Not the account's: agents and workloads live in different trust domains. */
export const TRUST_DOMAIN = 'interop.example'
export const WEB = `spiffe://${TRUST_DOMAIN}/web`
export const MY_UID = String(process.getuid?.())

export interface EnvironmentOptions {
  readonly server?: Partial<DevIcpOptions>
  readonly settings?: Readonly<Record<string, string>>
}

/** An ICP server, an agent in its own process, and the clients that are started against it. */
export class Environment implements AsyncDisposable {
  readonly #clients: ClientProcess[] = []

  private constructor(
    readonly dir: string,
    readonly server: DevIcp,
    readonly agent: AgentProcess,
    private readonly directory: AsyncDisposable,
  ) {}

  /** One entry is registered: `WEB`, for every process of this user. */
  static async open({ server: options = {}, settings = {} }: EnvironmentOptions = {}): Promise<Environment> {
    const directory = await temporaryDirectory()
    chmodSync(directory.path, 0o755)
    const server = await startServer(join(directory.path, 'icp'), {
      tenantId: TENANT,
      workloadTrustDomain: TRUST_DOMAIN,
      ...options,
    })
    await server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': MY_UID } })
    const agent = await AgentProcess.start({ dir: directory.path, server, settings })
    return new Environment(directory.path, server, agent, directory)
  }

  /** Ends with the environment. `socket`: default the agent's. */
  start(program: Program, args: readonly string[] = [], socket = this.agent.address): ClientProcess {
    const client = new ClientProcess(program, socket, args)
    this.#clients.push(client)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client[Symbol.asyncDispose]()))
    await this.agent[Symbol.asyncDispose]()
    await this.server[Symbol.asyncDispose]()
    await this.directory[Symbol.asyncDispose]()
  }
}
