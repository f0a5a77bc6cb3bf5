import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { type DockerEngine, dockerUnavailable, nodeVolumes, startDockerEngine } from '../support/docker-engine.js'

const unavailable = await dockerUnavailable()
const skipped = unavailable === null ? '' : ` (skipped: ${unavailable})`
/** What docs/files.md tells to give a container, without the program's share. */
const LIMIT_KIB = 128 * 1024

describe.skipIf(unavailable !== null)(`icp-agent exec as the entry point of a container${skipped}`, () => {
  let dir: Awaited<ReturnType<typeof temporaryDirectory>>
  let engine: DockerEngine
  let server: DevIcp
  let agent: RunningAgent
  let script: string

  beforeAll(async () => {
    dir = await temporaryDirectory()
    engine = await startDockerEngine()
    await engine.makeImage('program:1')
    server = await startServer(join(dir.path, 'icp'), { workloadTrustDomain: 'acme.example' })
    const selectors = { 'docker:label:app': 'one' }
    await server.createEntry({ spiffeId: 'spiffe://acme.example/one', selectors })
    agent = await startAgent({ dir: dir.path, server, settings: engine.settings })
    script = join(engine.dir, 'agent.mjs')
    await build({
      entryPoints: ['agent/main/index.ts'],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      external: ['koffi'],
      banner: { js: "import { createRequire as make } from 'node:module'; const require = make(import.meta.url);" },
      logLevel: 'error',
    })
  })
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    await agent?.stop()
    await server?.[Symbol.asyncDispose]()
    await dir?.[Symbol.asyncDispose]()
  })

  /** The user may be anybody: the attested thing is the container. */
  const run = async (name: string, program: string, ...options: string[]) =>
    await engine.docker(
      ...['run', '--detach', '--name', name, '--label', 'app=one', '--network', 'none', '--read-only'],
      ...['--cap-drop', 'ALL', '--user', '65532:65532', ...options],
      ...(await nodeVolumes()),
      ...['--volume', `${join(process.cwd(), 'node_modules')}:/node_modules:ro`, '--volume', `${script}:/agent.mjs:ro`],
      ...['--volume', `${join(agent.socketPath, '..')}:/run/spire/sockets:ro`],
      ...['--env', 'SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/sockets/agent.sock', 'program:1'],
      ...['/node', '/agent.mjs', 'exec', '--', '/node', '-e', program],
    )
  const logs = (name: string) => engine.docker('logs', name)
  const exitCode = async (name: string) => Number(await engine.docker('wait', name))

  test('the program has its identity, in memory, and its exit code is the container’s', async () => {
    const program = `const fs = require('fs'), c = require('crypto'), e = process.env
      const cert = new c.X509Certificate(fs.readFileSync(e.SVID_CERT_FILE))
      const fits = cert.checkPrivateKey(c.createPrivateKey(fs.readFileSync(e.SVID_KEY_FILE)))
      console.log(JSON.stringify({ id: e.SVID_SPIFFE_ID, fits, dir: e.SVID_DIR, parent: process.ppid }))
      process.exit(42)`
    await run('identity', program)
    expect(await exitCode('identity')).toBe(42)
    const dir = expect.stringMatching(/^\/dev\/shm\/icp-agent-exec\./)
    expect(JSON.parse(await logs('identity'))).toEqual({ id: 'spiffe://acme.example/one', fits: true, dir, parent: 1 })
  })

  test('docker stop reaches the program, which ends as it likes', async () => {
    const program = `process.on('SIGTERM', () => { console.log('stopping'); process.exit(6) })
      setInterval(() => {}, 1000); console.log('ready')`
    await run('stopped', program)
    await expect.poll(() => logs('stopped')).toContain('ready')
    await engine.docker('stop', '--time', '30', 'stopped')
    expect([await exitCode('stopped'), await logs('stopped')]).toEqual([6, 'ready\nstopping'])
  })

  test('orphans are reaped, and it needs no more memory than it is given', async () => {
    const program = `const { spawn } = require('child_process'), fs = require('fs')
      for (let i = 0; i < 20; i++) spawn('/node', ['-e', "require('child_process').spawn('/node', ['-e', ''], { detached: true, stdio: 'ignore' }).unref()"])
      const states = () => fs.readdirSync('/proc').filter((p) => /^\\d+$/.test(p)).map((p) => { try { return fs.readFileSync('/proc/' + p + '/stat', 'utf8').split(') ')[1][0] } catch { return '' } })
      const look = setInterval(() => {
        if (fs.readdirSync('/proc').filter((p) => /^\\d+$/.test(p)).length > 2) return
        clearInterval(look)
        const peak = /VmHWM:\\s+(\\d+)/.exec(fs.readFileSync('/proc/1/status', 'utf8'))[1]
        console.log(JSON.stringify({ zombies: states().filter((s) => s === 'Z').length, peak: Number(peak) }))
        process.exit(0)
      }, 200)`
    await run('orphans', program)
    expect(await exitCode('orphans')).toBe(0)
    const { zombies, peak } = JSON.parse(await logs('orphans'))
    expect(zombies).toBe(0)
    expect(peak).toBeLessThan(LIMIT_KIB)
    process.stderr.write(`icp-agent exec took ${Math.round(peak / 1024)} MiB at most\n`)
  })
})
