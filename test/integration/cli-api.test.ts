import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer } from '../support/agent.js'
import { icpAgent } from '../support/terminal.js'

const MINE = { 'unix:uid': String(process.getuid?.()) }
const WEB = 'spiffe://acme.example/web'
const API = 'spiffe://acme.example/api'

let directory: string
let server: DevIcp
let agent: RunningAgent

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'icp-'))
  server = await startServer(join(directory, 'icp'), { workloadTrustDomain: 'acme.example' })
  await server.createEntry({ spiffeId: WEB, selectors: MINE })
  agent = await startAgent({ dir: directory, server })
})
afterAll(async () => {
  await agent?.stop()
  await server?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const socket = () => ['--socket', agent.address]

describe('api fetch x509', () => {
  test.each(['spiffe', 'authsec'])('shows the identity of this process in the %s dialect', async (dialect) => {
    const { code, stdout, stderr } = await icpAgent(['api', 'fetch', 'x509', ...socket(), '--dialect', dialect])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain(WEB)
    expect(stdout).toContain('default identity')
    expect(stdout).not.toContain('PRIVATE KEY')
  })

  test('gives JSON that a script can read, without the key', async () => {
    const { code, stdout } = await icpAgent(['api', 'fetch', 'x509', ...socket(), '-o', 'json'])
    expect(code).toBe(0)
    expect(stdout).not.toContain('PRIVATE KEY')
    const { svids, bundles } = JSON.parse(stdout)
    expect(svids[0]).toMatchObject({ spiffe_id: WEB })
    const leaf = new X509Certificate(svids[0].chain_pem)
    expect(leaf.subjectAltName).toContain(`URI:${WEB}`)
    expect(new Date(leaf.validTo).toISOString()).toBe(svids[0].not_after)
    expect(leaf.verify(new X509Certificate(bundles['acme.example']).publicKey)).toBe(true)
  })

  test('finds the socket by SPIFFE_ENDPOINT_SOCKET, by the configuration, and takes a bare path', async () => {
    const found = await Promise.all([
      icpAgent(['api', 'fetch', 'x509'], { env: { SPIFFE_ENDPOINT_SOCKET: agent.address } }),
      icpAgent(['api', 'fetch', 'x509'], { env: { ICP_AGENT_AGENT__SOCKET_PATH: agent.socketPath } }),
      icpAgent(['api', 'fetch', 'x509', '--socket', agent.socketPath]),
    ])
    expect(found.map(({ code }) => code)).toEqual([0, 0, 0])
  })

  test('writes files that fit together', async () => {
    const out = join(directory, 'out')
    const { code, stdout } = await icpAgent(['api', 'fetch', 'x509', ...socket(), '--write', out, '-o', 'json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout).written).toContain(join(out, 'svid.0.key'))
    expect(await readFile(join(out, 'svid.0.key'), 'utf8')).toContain('PRIVATE KEY')
  })

  test('without an agent says so, and what to do', async () => {
    const { code, stdout, stderr } = await icpAgent(['api', 'fetch', 'x509', '--socket', `unix://${directory}/none`])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('[client.unreachable]')
  })
})

describe('a process without an entry', () => {
  test('is told its denial id, which the log of the agent resolves', async () => {
    await using lonely = await startServer(join(directory, 'lonely'))
    await using poor = await startAgent({ dir: join(directory, 'p'), server: lonely })
    const { code, stderr } = await icpAgent(['api', 'fetch', 'x509', '--socket', poor.address])
    expect(code).toBe(1)
    expect(stderr).toContain('[client.denied]')
    const id = /log of the agent for the denial id ([0-9a-f]+)/.exec(stderr)?.[1]
    const line = await poor.logged('Workload API call denied', ({ denial_id }) => denial_id === id)
    expect(line['selectors']).toMatchObject(MINE)
  })
})

describe('api watch x509', () => {
  test('tells what is granted and withdrawn, as lines of JSON', async () => {
    const stop = new AbortController()
    const entry: { id: string }[] = []
    let granting: Promise<void> | null = null
    const { code, stdout } = await icpAgent(['api', 'watch', 'x509', ...socket(), '-o', 'json'], {
      signal: stop.signal,
      onStdout: (text) => {
        const last = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '')
        const names = last.svids.map((svid: { spiffe_id: string }) => svid.spiffe_id)
        if (names.length === 1 && granting === null) {
          granting = server
            .createEntry({ spiffeId: API, selectors: { ...MINE, 'unix:gid': String(process.getgid?.()) } })
            .then((created) => void entry.push(created))
        } else if (names.length === 2) void granting?.then(() => server.deleteEntry(entry[0]?.id ?? ''))
        else if (granting !== null) stop.abort()
      },
    })
    expect(code).toBe(0)
    const updates = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(
      updates.map(({ changes }) =>
        changes.map((change: { kind: string; spiffe_id: string }) => [change.kind, change.spiffe_id]),
      ),
    ).toEqual([[['granted', WEB]], [['granted', API]], [['withdrawn', API]]])
  })

  test('waits for an agent that is not there yet, saying so', async () => {
    const stop = new AbortController()
    const { code, stderr } = await icpAgent(['api', 'watch', 'x509', '--socket', `unix://${directory}/none`], {
      signal: stop.signal,
      onStderr: () => stop.abort(),
    })
    expect(code).toBe(0)
    expect(stderr).toContain('[client.unreachable] again in 1 s')
  })
})
