import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { callHeaders, END_HEADERS, END_STREAM, frame, PREFACE, TYPE } from '../../fuzz/http2.js'

const CALLS = 1_600
const CANCEL = Buffer.from('00000008', 'hex')

/** What a client writes who makes 1,600 calls at once, and gives each up. */
export function manyCalls(): Buffer {
  const block = callHeaders('FetchX509SVID')
  return Buffer.concat([
    PREFACE,
    frame(TYPE.settings, 0, 0),
    ...Array.from({ length: CALLS }, (_, i) => {
      const stream = 2 * i + 1
      return Buffer.concat([
        frame(TYPE.headers, END_HEADERS, stream, block),
        frame(TYPE.data, END_STREAM, stream, Buffer.alloc(5)),
        frame(TYPE.rst, 0, stream, CANCEL),
      ])
    }),
  ])
}

/** Keeps so many connections that each write what the file holds, and begins anew where one ends. */
const FLOODER = `
const [, socketPath, file, connections] = process.argv
const bytes = require('node:fs').readFileSync(file)
let opened = 0
const open = () => {
  opened++
  const socket = require('node:net').connect(socketPath)
  socket.on('error', () => undefined)
  socket.on('close', () => setTimeout(open, 1))
  socket.write(bytes)
  setTimeout(() => socket.destroy(), 700).unref()
}
for (let i = 0; i < Number(connections); i++) open()
process.stdin.on('end', () => {
  process.stdout.write(JSON.stringify({ opened }))
  process.exit(0)
}).resume()
`

/** Connects and goes, as fast as it can. */
const CONNECTOR = `
const [, socketPath] = process.argv
let opened = 0
const open = () => {
  for (let i = 0; i < 64; i++) {
    opened++
    require('node:net').connect(socketPath).on('error', () => undefined).destroy()
  }
  setImmediate(open)
}
open()
process.stdin.on('end', () => {
  process.stdout.write(JSON.stringify({ opened }))
  process.exit(0)
}).resume()
`

/** Fetches on so many fresh connections, one after the other. It waits for a place in the queue, which Node's own connect does not. */
const CALLER = `
const [, socketPath, count] = process.argv
const http2 = require('node:http2')
const libc = require(process.env.KOFFI).load(null)
const socket = libc.func('socket', 'int', ['int', 'int', 'int'])
const connect = libc.func('connect', 'int', ['int', 'void *', 'uint'])
const address = Buffer.alloc(110)
address.writeUInt16LE(1, 0)
address.write(socketPath, 2)
const createConnection = () => {
  const fd = socket(1, 1, 0)
  if (connect(fd, address, address.length) !== 0) throw new Error('connect failed')
  return new (require('node:net').Socket)({ fd, readable: true, writable: true })
}
const fetch = () => new Promise((resolve) => {
  const began = performance.now()
  const end = (served) => {
    clearTimeout(timer)
    session.destroy()
    resolve({ served, ms: performance.now() - began })
  }
  const session = http2.connect('http://localhost', { createConnection })
  const timer = setTimeout(() => end(false), 20_000)
  session.on('error', () => end(false))
  const call = session.request({
    ':method': 'POST', ':path': '/SpiffeWorkloadAPI/FetchX509SVID', 'content-type': 'application/grpc', te: 'trailers',
    'workload.spiffe.io': 'true',
  })
  call.on('error', () => end(false))
  call.on('data', (message) => end(message.includes('spiffe://')))
  call.on('end', () => end(false))
  call.end(Buffer.alloc(5))
})
const main = async () => {
  const answers = []
  while (answers.length < Number(count)) {
    answers.push(await fetch())
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  process.stdout.write(JSON.stringify(answers))
}
main()
`

/** A process of another user. */
class Program {
  readonly child: ChildProcess
  readonly #ended: Promise<string>

  constructor(uid: number, source: string, args: readonly string[]) {
    this.child = spawn(process.execPath, ['-e', source, ...args], {
      uid,
      gid: uid,
      cwd: '/',
      env: { KOFFI: createRequire(import.meta.url).resolve('koffi') },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let output = ''
    this.child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    this.#ended = once(this.child, 'close').then(() => output)
  }

  /** What it has to say when it has ended. */
  async result(): Promise<unknown> {
    return JSON.parse(await this.#ended)
  }

  /** Tells it to end. */
  async stop(): Promise<unknown> {
    this.child.stdin?.end()
    return await this.result()
  }
}

export interface Answer {
  readonly served: boolean
  readonly ms: number
}

/** Users of a socket. */
export class Crowd implements AsyncDisposable {
  readonly #programs: Program[] = []

  constructor(private readonly socketPath: string) {}

  /** `file` holds what each connection writes. */
  flood(uid: number, file: string, connections: number): Program {
    return this.#start(uid, FLOODER, [file, String(connections)])
  }

  connectOverAndOver(uid: number): Program {
    return this.#start(uid, CONNECTOR, [])
  }

  async fetch(uid: number, count: number): Promise<readonly Answer[]> {
    return (await this.#start(uid, CALLER, [String(count)]).result()) as readonly Answer[]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#programs) child.kill('SIGKILL')
    await Promise.all(this.#programs.map(({ child }) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
  }

  #start(uid: number, source: string, args: readonly string[]): Program {
    const program = new Program(uid, source, [this.socketPath, ...args])
    this.#programs.push(program)
    return program
  }
}
