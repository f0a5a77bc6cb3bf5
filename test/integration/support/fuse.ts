import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'

/**
 * A file system of one file, `prog`, that a process serves over /dev/fuse: stop the process and every access to the
 * file system waits for ever. Wants root, /dev/fuse and nothing else.
 */
const SERVER = `
const fs = require('node:fs')
const koffi = require(process.env.KOFFI)
const [backing, directory] = process.argv.slice(1)
const dev = fs.openSync('/dev/fuse', 'r+')
const mount = koffi.load(null).func('mount', 'int', ['str', 'str', 'str', 'ulong', 'str'])
const options = 'fd=' + dev + ',rootmode=40000,user_id=0,group_id=0,allow_other'
if (mount('fuse', directory, 'fuse', 6, options) !== 0) throw new Error('mount: errno ' + koffi.errno())
process.stdout.write('mounted\\n')
const file = fs.openSync(backing, 'r')
const { size } = fs.fstatSync(file)
const request = Buffer.alloc(1 << 20)
const DAY = 86400n
function attributes(out, at, id) {
  const isRoot = id === 1n
  out.writeBigUInt64LE(id, at)
  out.writeBigUInt64LE(BigInt(isRoot ? 0 : size), at + 8)
  out.writeUInt32LE(isRoot ? 0o40755 : 0o100755, at + 60)
  out.writeUInt32LE(1, at + 64)
  out.writeUInt32LE(4096, at + 80)
}
const bodies = {
  26() {
    const out = Buffer.alloc(64)
    out.writeUInt32LE(7, 0)
    out.writeUInt32LE(31, 4)
    out.writeUInt32LE(131072, 8)
    out.writeUInt32LE(131072, 20)
    return out
  },
  1() {
    if (request.subarray(40, 44).toString() !== 'prog') return -2
    const out = Buffer.alloc(128)
    out.writeBigUInt64LE(2n, 0)
    out.writeBigUInt64LE(DAY, 16)
    out.writeBigUInt64LE(DAY, 24)
    attributes(out, 40, 2n)
    return out
  },
  3() {
    const out = Buffer.alloc(104)
    out.writeBigUInt64LE(DAY, 0)
    attributes(out, 16, request.readBigUInt64LE(16))
    return out
  },
  14: () => Buffer.alloc(16),
  27: () => Buffer.alloc(16),
  15() {
    const out = Buffer.alloc(request.readUInt32LE(56))
    return out.subarray(0, fs.readSync(file, out, 0, out.length, Number(request.readBigUInt64LE(48))))
  },
  17: () => Buffer.alloc(80),
  18: () => Buffer.alloc(0),
  25: () => Buffer.alloc(0),
  29: () => Buffer.alloc(0),
}
const WITHOUT_REPLY = [2, 36, 42]
for (;;) {
  fs.readSync(dev, request, 0, request.length, null)
  const operation = request.readUInt32LE(4)
  if (WITHOUT_REPLY.includes(operation)) continue
  const body = bodies[operation]?.() ?? -38
  const head = Buffer.alloc(16)
  const data = typeof body === 'number' ? Buffer.alloc(0) : body
  head.writeUInt32LE(16 + data.length, 0)
  head.writeInt32LE(typeof body === 'number' ? body : 0, 4)
  request.copy(head, 8, 8, 16)
  fs.writeSync(dev, Buffer.concat([head, data]))
}
`

/** Mounted until disposed. */
export class FuseMount implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    private readonly server: ChildProcess,
  ) {}

  /** `backing` is what `prog` holds. */
  static async mount(directory: string, backing: string): Promise<FuseMount> {
    mkdirSync(directory)
    const server = spawn(process.execPath, ['-e', SERVER, backing, directory], {
      env: { KOFFI: createRequire(import.meta.url).resolve('koffi') },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise<void>((resolve, reject) => {
      server.stdout?.once('data', () => resolve())
      server.once('exit', () => reject(new Error('the file system could not be mounted')))
    })
    return new FuseMount(directory, server)
  }

  get file(): string {
    return `${this.directory}/prog`
  }

  /** From now on every access waits. */
  stop(): void {
    this.server.kill('SIGSTOP')
  }

  go(): void {
    this.server.kill('SIGCONT')
  }

  /** Whoever waits gets an error. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.server.once('exit', resolve))
    this.server.kill('SIGKILL')
    await ended
    execFileSync('umount', ['-l', this.directory])
  }
}
