import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { callHeaders, END_HEADERS, END_STREAM, frame, PREFACE, TYPE } from '../fuzz/http2.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'

const SOURCE = fileURLToPath(new URL('programs/exec-in-turn.c', import.meta.url))
const ATTEMPTS = 1_000
const root = process.getuid?.() === 0
/** Root acts as two ordinary users, anybody else as himself. */
const OWNER = root ? { uid: 4301, gid: 4301 } : null
const STRANGER = root ? { uid: 4302, gid: 4302 } : {}
const canForge = works('cc', ['--version']) && works('unshare', ['-Urm', 'true'])

function works(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A call of FetchX509SVID, byte by byte. */
const CALL = Buffer.concat([
  PREFACE,
  frame(TYPE.settings, 0, 0),
  frame(TYPE.headers, END_HEADERS, 1, callHeaders('FetchX509SVID')),
  frame(TYPE.data, END_STREAM, 1, Buffer.alloc(5)),
])

async function scene() {
  const directory = await temporaryDirectory()
  chmodSync(directory.path, 0o755)
  const at = (name: string) => `${directory.path}/${name}`
  const build = (to: string): void => void execFileSync('cc', ['-O2', '-static', '-o', to, SOURCE])
  mkdirSync(at('trusted/bin'), { recursive: true })
  build(at('trusted/bin/app'))
  // Of the trusted program the stranger may not even know that it exists.
  if (OWNER) for (const name of ['trusted', 'trusted/bin']) chownSync(at(name), OWNER.uid, OWNER.gid)
  chmodSync(at('trusted'), 0o700)
  mkdirSync(at('own'), { mode: 0o755 })
  copyFileSync(at('trusted/bin/app'), at('own/program'))
  writeFileSync(at('call'), CALL)
  const server = await startServer(at('icp'))
  await server.createEntry({
    spiffeId: `spiffe://${TENANT}/trusted`,
    selectors: { 'unix:path': at('trusted/bin/app') },
  })
  const agent = await startAgent({ dir: directory.path, server })
  return {
    /** What comes of attempts by a program that runs itself through both mounts in turn. */
    async attempts(): Promise<{ granted: number; answered: number }> {
      const args = [agent.socketPath, at('trusted/bin/app'), at('trusted'), at('call'), '/trusted', String(ATTEMPTS)]
      const child = spawn(at('own/program'), args, { ...STRANGER, stdio: ['ignore', 'pipe', 'inherit'] })
      const [said] = await Promise.all([text(child.stdout), once(child, 'exit')])
      return JSON.parse(said)
    },
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

describe.runIf(canForge)('a program that is run through a private mount and a mount of the host in turn', () => {
  it(`is never taken for the trusted one, in ${ATTEMPTS} attempts or a minute of them`, {
    timeout: 120_000,
  }, async () => {
    await using s = await scene()
    const { granted, answered } = await s.attempts()
    expect(granted).toBe(0)
    expect(answered).toBeGreaterThan(10)
  })
})
