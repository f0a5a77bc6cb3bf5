import { type ChildProcess, spawn } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { bundlePrograms } from '../support/bundle-programs.js'

/** The run that docs/files.md tells of: ICP_FILES_STRESS_SECONDS=300. */
const SECONDS = Number(process.env['ICP_FILES_STRESS_SECONDS'] ?? 60)
const READS = 10_000
/** A life that is renewed after about 5 s. */
const SVID_TTL_SECONDS = 10
const TMPFS = 0x0102_1994

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
let programs: string
const processes = new Set<Killed>()
const places: string[] = []

beforeAll(async () => {
  dir = await temporaryDirectory()
  programs = (await bundlePrograms(process.cwd(), join(dir.path, 'programs'), { agent: 'agent/main/index.ts' })).agent
  server = await startServer(join(dir.path, 'icp'), { svidTtlSeconds: SVID_TTL_SECONDS })
  const selectors = { 'unix:uid': String(process.getuid?.()) }
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors })
})
afterAll(async () => {
  for (const one of processes) one.stop()
  await server?.[Symbol.asyncDispose]()
  await dir?.[Symbol.asyncDispose]()
  for (const place of places) rmSync(place, { recursive: true, force: true })
})

/** A process that is killed and starts again. */
class Killed {
  #child: ChildProcess | null = null
  #stopped = false
  kills = 0
  constructor(
    private readonly args: readonly string[],
    private readonly env: Readonly<Record<string, string>> = {},
  ) {
    processes.add(this)
    this.#start()
  }
  kill(): void {
    this.kills++
    this.#child?.kill('SIGKILL')
  }
  stop(): void {
    this.#stopped = true
    this.#child?.kill('SIGKILL')
  }
  #start(): void {
    const env = { PATH: process.env['PATH'] ?? '', ...this.env }
    this.#child = spawn(process.execPath, [programs, ...this.args], { stdio: 'ignore', env })
    this.#child.once('exit', () => void (this.#stopped || this.#start()))
  }
}

/** What readers of one directory have seen. */
class Readers {
  readonly pairs = new Map<string, string>()
  readonly generations = new Set<string>()
  reads = 0
  gone = 0
  byPathMixed = 0
  byRuleMixed = 0
  constructor(readonly place: string) {}

  read(): void {
    this.reads++
    this.#byDescriptor()
    this.#combined()
    const [certificate, key] = this.#byPath()
    if (!this.#fits(certificate, key)) this.byPathMixed++
    this.#byRule()
  }

  #byDescriptor(): void {
    const fd = openSync(join(this.place, '..data'), constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      const file = (name: string) => readFileSync(`/proc/self/fd/${fd}/${name}`, 'utf8')
      expect(this.#fits(file('svid.pem'), file('svid_key.pem'))).toBe(true)
    } finally {
      closeSync(fd)
    }
  }

  #combined(): void {
    const text = readFileSync(join(this.place, 'combined.pem'), 'utf8')
    const at = text.indexOf('-----BEGIN PRIVATE KEY-----')
    expect(this.#fits(text.slice(0, at), text.slice(at))).toBe(true)
  }

  #byPath(): readonly [string, string] {
    const file = (name: string) => readFileSync(join(this.place, name), 'utf8')
    return [file('svid.pem'), file('svid_key.pem')]
  }

  #byRule(): void {
    const current = () => readlinkSync(join(this.place, '..data'))
    for (;;) {
      const before = current()
      const [certificate, key] = this.#byPath()
      this.generations.add(before)
      if (current() !== before) continue
      if (!this.#fits(certificate, key)) this.byRuleMixed++
      return
    }
  }

  #fits(certificate: string, key: string): boolean {
    const known = this.pairs.get(certificate)
    if (known !== undefined) return known === key
    const fits = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
    if (fits) this.pairs.set(certificate, key)
    return fits
  }
}

const whole = (place: string) => readdirSync(place).includes('svid_key.pem')

describe('readers under rotation, while the agent and files are killed', () => {
  test(`see no mixture in ${READS} reads`, { timeout: (SECONDS + 240) * 1000 }, async () => {
    const inMemory = mkdtempSync('/dev/shm/icp-stress-')
    const onDisk = mkdtempSync('/var/tmp/icp-stress-')
    places.push(inMemory, onDisk)
    expect([statfsSync(inMemory).type, statfsSync(onDisk).type === TMPFS]).toEqual([TMPFS, false])
    const socket = join(dir.path, 'run', 'agent.sock')
    const agent = new Killed([], {
      ICP_AGENT_AGENT__TENANT_ID: TENANT,
      ICP_AGENT_AGENT__NODE_ID: 'stress',
      ICP_AGENT_AGENT__DATA_DIR: join(dir.path, 'data'),
      ICP_AGENT_AGENT__SOCKET_PATH: socket,
      ICP_AGENT_ICP_SERVICE__ADDRESS: server.address,
      ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH: server.caPath,
      ICP_AGENT_ATTESTATION__TYPE: 'unix',
      ICP_AGENT_HEALTH__ENABLED: 'false',
      ICP_AGENT_SYNC__INTERVAL: '1s',
    })
    const writers = [inMemory, onDisk].map((place) => new Killed(['files', '--dir', place, '--socket', socket]))
    const readers = [inMemory, onDisk].map((place) => new Readers(place))
    for (const place of places) await expect.poll(() => whole(place), { timeout: 120_000 }).toBe(true)

    const began = Date.now()
    const end = began + SECONDS * 1000
    const killing = (async () => {
      for (let round = 0; Date.now() < end; round++) {
        await sleep(1_500 + Math.random() * 3_000)
        writers[round % 2]?.kill()
        if (round % 5 === 4) agent.kill()
      }
    })()
    while (Date.now() < end || readers.some(({ reads }) => reads < READS)) {
      for (const one of readers) one.read()
      // Spread over the time; a slow machine catches up.
      const due = began + ((readers[0]?.reads ?? 0) * SECONDS * 1000) / READS
      await sleep(Math.max(0, due - Date.now()))
    }
    await killing
    for (const one of readers) {
      const { reads, generations, byPathMixed, byRuleMixed } = one
      const outcome = { reads, generations: generations.size, byPathMixed, byRuleMixed }
      process.stderr.write(
        `${one.place}: ${JSON.stringify({ ...outcome, kills: writers.map(({ kills }) => kills), agent: agent.kills })}\n`,
      )
      expect(byRuleMixed).toBe(0)
      // Each is a rotation in the middle of a read; there are few of them beside the reads.
      expect(byPathMixed).toBeLessThan(generations.size)
      expect(generations.size).toBeGreaterThan(SECONDS / 15)
    }
    // What the kills have left goes away.
    const left = (place: string) => readdirSync(place).filter((name) => /^\.\.(?:tmp|\d{4})/.test(name)).length
    agent.stop()
    for (const place of places) await expect.poll(() => left(place), { timeout: 60_000 }).toBe(1)
  })
})
