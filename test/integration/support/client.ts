import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

/** What a client does when it is told to, one command a line; `exec` and `exit` do not answer. */
const SCRIPT = `
const net = require('node:net')
const libc = () => require(process.env.KOFFI).load(null)
const sockets = []
const say = (what) => process.stdout.write(JSON.stringify(what) + '\\n')
const commands = {
  connect(path) {
    const socket = net.connect(path)
    sockets.push(socket)
    socket.on('connect', () => say('connected'))
    socket.on('error', (error) => say(error.code))
    socket.on('close', () => say('closed'))
  },
  exec(path, ...args) {
    const execv = libc().func('execv', 'int', ['str', 'char **'])
    execv(path, [path, ...args, null])
    say('exec failed')
  },
  seteuid(id) {
    say(libc().func('setresuid', 'int', ['int', 'int', 'int'])(-1, Number(id), -1))
  },
  exit() { process.exit(0) },
}
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [name, ...args] = line.split(' ')
  commands[name](...args)
}).on('close', () => process.exit(0))
say('ready')
`

/** A separate process that connects to sockets and does to itself what it is told. */
export class Client implements AsyncDisposable {
  readonly #lines: string[] = []
  #wake: (() => void) | undefined
  readonly ended: Promise<void>

  private constructor(readonly child: ChildProcess) {
    this.ended = new Promise((resolve) => child.once('exit', () => resolve()))
    if (child.stdout) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.#lines.push(JSON.parse(line))
        this.#wake?.()
      })
    }
  }

  static async start(options: { uid?: number; gid?: number; executable?: string } = {}): Promise<Client> {
    const { executable = process.execPath, ...ids } = options
    const child = spawn(executable, ['-e', SCRIPT], {
      ...ids,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { KOFFI: createRequire(import.meta.url).resolve('koffi') },
    })
    const client = new Client(child)
    await client.hears('ready')
    return client
  }

  /** A client on top of any command line that ends in running node with the given arguments. */
  static async within(command: string, args: readonly string[]): Promise<Client> {
    const child = spawn(command, [...args, process.execPath, '-e', SCRIPT], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'] ?? '', KOFFI: createRequire(import.meta.url).resolve('koffi') },
    })
    const client = new Client(child)
    await client.hears('ready')
    return client
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the client did not start')
    return this.child.pid
  }

  tell(command: string): void {
    this.child.stdin?.write(`${command}\n`)
  }

  /** Waits until the client has said so; what it said before is passed over. */
  async hears(what: unknown): Promise<void> {
    for (;;) {
      const line = this.#lines.shift()
      if (line === what) return
      if (line !== undefined) continue
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve
        this.child.once('exit', () => reject(new Error(`the client ended before it said ${what}`)))
      })
    }
  }

  async connect(path: string): Promise<void> {
    this.tell(`connect ${path}`)
    await this.hears('connected')
  }

  /** Ends it and waits until it is reaped: its pid is free then. */
  async end(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }
}
