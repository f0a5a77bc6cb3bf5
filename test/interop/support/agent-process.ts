import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { TENANT } from '../../support/agent.js'
import { built } from './programs.js'

/** The agent as it is shipped, compiled, without the checks that `npm run check` makes. */
async function buildAgent(): Promise<string> {
  const sources = ['agent', 'attestors', 'proto', 'package.json', 'tsconfig.json', 'tsconfig.build.json']
  const directory = await built('agent', sources, (out) => [
    { argv: ['node_modules/.bin/tsc', '-p', 'tsconfig.build.json', '--noCheck', '--outDir', join(out, 'dist')] },
    { argv: ['cp', 'package.json', out] },
  ])
  return join(directory, 'dist', 'agent', 'main', 'index.js')
}

export interface AgentSettings {
  readonly dir: string
  readonly server: Pick<DevIcp, 'address' | 'caPath'>
  /** Settings by their names in the environment, without the prefix: `SYNC__INTERVAL`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** The agent in a process of its own, which can be killed. */
export class AgentProcess implements AsyncDisposable {
  readonly socketPath: string
  readonly #log: string[] = []
  #child: ChildProcess | null = null

  private constructor(
    private readonly script: string,
    private readonly env: Readonly<Record<string, string>>,
    dir: string,
  ) {
    this.socketPath = join(dir, 'run', 'agent.sock')
  }

  static async start({ dir, server, settings = {} }: AgentSettings): Promise<AgentProcess> {
    const all: Record<string, string> = {
      AGENT__TENANT_ID: TENANT,
      AGENT__NODE_ID: 'interop',
      AGENT__DATA_DIR: join(dir, 'data'),
      AGENT__SOCKET_PATH: join(dir, 'run', 'agent.sock'),
      ICP_SERVICE__ADDRESS: server.address,
      ICP_SERVICE__TRUST_BUNDLE_PATH: server.caPath,
      ATTESTATION__TYPE: 'unix',
      HEALTH__ENABLED: 'false',
      // With SVIDs of some ten seconds this stays below the pace that the agent keeps.
      SYNC__INTERVAL: '4s',
      SYNC__BUNDLE_INTERVAL: '2s',
      ...settings,
    }
    const env = Object.fromEntries(Object.entries(all).map(([key, value]) => [`ICP_AGENT_${key}`, value]))
    const agent = new AgentProcess(await buildAgent(), env, dir)
    await agent.start()
    return agent
  }

  /** `unix:///…` */
  get address(): string {
    return `unix://${this.socketPath}`
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [this.script], {
      cwd: '/',
      env: { PATH: process.env['PATH'], ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    child.stderr.setEncoding('utf8').on('data', (text: string) => void this.#log.push(text))
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.#log.push(line)
        if (line.includes('gRPC Workload API Server started')) resolve()
      })
      child.on('error', reject)
      child.on('close', (code) => reject(new Error(`the agent ended with ${code}:\n${this.log}`)))
    })
  }

  /** As a crash, or as the kernel's out-of-memory killer: nothing is said and nothing tidied up. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** The last lines of the log. */
  get log(): string {
    return this.#log.slice(-40).join('\n')
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'close')
  }
}
