import { execFileSync, spawn } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { pathOf } from '../support/docker-engine.js'
import { icpAgent } from '../support/terminal.js'

const MINE = { 'unix:uid': String(process.getuid?.()) }
const WEB = 'spiffe://acme.example/web'
const API = 'spiffe://acme.example/api'

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
let agent: RunningAgent

beforeAll(async () => {
  dir = await temporaryDirectory()
  server = await startServer(join(dir.path, 'icp'), {
    workloadTrustDomain: 'acme.example',
    svidTtlSeconds: 12,
    jwtKid: true,
  })
  await server.createEntry({ spiffeId: WEB, selectors: { ...MINE, 'unix:gid': String(process.getgid?.()) } })
  await server.createEntry({ spiffeId: API, selectors: MINE })
  agent = await startAgent({ dir: dir.path, server })
})
afterAll(async () => {
  await agent?.stop()
  await server?.[Symbol.asyncDispose]()
  await dir?.[Symbol.asyncDispose]()
})

const out = (name: string) => join(dir.path, name)
const files = (name: string, ...args: string[]) =>
  icpAgent(['files', '--dir', out(name), '--socket', agent.address, ...args])
const read = (name: string, file: string) => readFile(join(out(name), file), 'utf8')

async function fitTogether(name: string, [certificate, key, bundle] = ['svid.pem', 'svid_key.pem', 'svid_bundle.pem']) {
  const leaf = new X509Certificate(await read(name, certificate ?? ''))
  expect(leaf.checkPrivateKey(createPrivateKey(await read(name, key ?? '')))).toBe(true)
  expect(leaf.verify(new X509Certificate(await read(name, bundle ?? '')).publicKey)).toBe(true)
  return leaf
}

describe('files --once', () => {
  test('writes certificate, key, bundle and all in one, and ends', async () => {
    const { code, stderr } = await files('once', '--once')
    expect([code, stderr]).toEqual([0, expect.stringContaining('wrote spiffe://acme.example/')])
    const leaf = await fitTogether('once')
    expect(new X509Certificate(await read('once', 'combined.pem')).serialNumber).toBe(leaf.serialNumber)
    expect((await stat(join(out('once'), 'svid_key.pem'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(out('once'), 'svid.pem'))).mode & 0o777).toBe(0o644)
  })

  test('chooses an identity by its SPIFFE ID, and gives other names and modes', async () => {
    const { code } = await files('api', '--once', '--id', API, '--names', 'kubernetes', '--key-mode', '0640')
    expect(code).toBe(0)
    expect((await fitTogether('api', ['tls.crt', 'tls.key', 'ca.crt'])).subjectAltName).toContain(API)
    expect((await stat(join(out('api'), 'tls.key'))).mode & 0o777).toBe(0o640)
  })

  test('writes JWT-SVIDs and the keys that they are verified with', async () => {
    const { code, stderr } = await files('jwt', '--once', '--id', WEB, '--jwks', '--jwt', 'one.token=billing,audit')
    expect([code, stderr]).toEqual([0, expect.stringContaining('wrote')])
    expect(decodeJwt(await read('jwt', 'one.token'))).toMatchObject({
      sub: WEB,
      aud: expect.arrayContaining(['billing', 'audit']),
    })
    expect(JSON.parse(await read('jwt', 'jwks.json')).keys).not.toHaveLength(0)
    expect((await stat(join(out('jwt'), 'one.token'))).mode & 0o777).toBe(0o600)
  })

  test('takes options from a YAML file, the command line first', async () => {
    await writeFile(
      out('files.yaml'),
      `dir: ${out('yaml')}\nnames: kubernetes\nid: ${API}\nkey_mode: "0440"\nonce: true\n`,
    )
    const args = ['files', '--config', out('files.yaml'), '--socket', agent.address, '--names', 'istio']
    expect((await icpAgent(args)).code).toBe(0)
    expect((await fitTogether('yaml', ['cert-chain.pem', 'key.pem', 'root-cert.pem'])).subjectAltName).toContain(API)
    expect((await stat(join(out('yaml'), 'key.pem'))).mode & 0o777).toBe(0o440)
  })

  test('reads a configuration of spiffe-helper', async () => {
    const config = `agent_address = "${agent.socketPath}"\ncert_dir = "${out('helper')}"\nsvid_file_name = "a.pem"
      svid_key_file_name = "k.pem"\nsvid_bundle_file_name = "b.pem"\njwt_bundle_file_name = "bundle.json"
      jwt_svids = [{jwt_audience="billing", jwt_svid_file_name="jwt.token"}]\nkey_file_mode = 0400`
    await writeFile(out('helper.conf'), config)
    expect((await icpAgent(['files', '--helper-config', out('helper.conf'), '--once'])).code).toBe(0)
    await fitTogether('helper', ['a.pem', 'k.pem', 'b.pem'])
    const sets = JSON.parse(await read('helper', 'bundle.json'))
    expect(JSON.parse(Buffer.from(sets['acme.example'], 'base64').toString()).keys).not.toHaveLength(0)
    expect((await stat(join(out('helper'), 'k.pem'))).mode & 0o777).toBe(0o400)
  })

  test('does what is told after it, with exit code 1 where something fails', async () => {
    const args = ['--run', `cat ${out('done')}/svid.pem > ${out('copied')}`, '--run', 'echo broken >&2; exit 3']
    const { code, stderr } = await files('done', '--once', ...args)
    expect(code).toBe(1)
    expect(stderr).toMatch(/exit code 3: broken.*\[command\.failed\]/)
    expect(await readFile(out('copied'), 'utf8')).toBe(await read('done', 'svid.pem'))
  })

  test('sends a signal by a pid file, and a POST', async () => {
    const child = spawn('sh', ['-c', 'trap "exit 5" USR2; echo ready; while :; do sleep 0.1; done'])
    const ended = new Promise((resolve) => child.once('exit', resolve))
    await new Promise((resolve) => child.stdout.once('data', resolve))
    await writeFile(out('pid'), `${child.pid}\n`)
    const asked: string[] = []
    const http = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      response.end()
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/reload`
    expect((await files('told', '--once', '--pid-file', out('pid'), '--signal', 'USR2', '--post', url)).code).toBe(0)
    http.close()
    expect([await ended, asked]).toEqual([5, ['POST /reload']])
  })

  test('does not wait for ever: it says what the agent said, and by what to register', async () => {
    const within = (wait: string) => files('never', '--once', '--wait', wait, '--id', 'spiffe://acme.example/none')
    const said = 'none with the SPIFFE ID spiffe://acme.example/none'
    let { code, stderr } = await within('2s')
    // On a busy machine the agent's answer may come later.
    for (const wait of ['20s', '2m']) if (!stderr.includes(said)) ({ code, stderr } = await within(wait))
    expect(code).toBe(1)
    expect(stderr).toContain(said)
    expect(stderr).toContain('register it by user, systemd unit or container, not by path or digest')
  })

  test.each([
    [['--once'], '--dir is missing'],
    [['--dir', '/x', '--names', 'other'], '--names must be'],
    [['--dir', '/x', '--jwt', 'token'], '--jwt must be FILE=AUDIENCE'],
    [['--dir', '/x', '--jwt', '../t=a'], 'must be the name of a file'],
    [['--dir', '/x', '--key-mode', '0999'], '--key-mode must be permission bits'],
    [['--dir', '/x', '--id', 'web'], 'is not a SPIFFE ID'],
    [['--dir', '/x', '--owner', 'no-such-user'], 'there is no user'],
    [['--dir', '/x', '--signal', 'HUP'], '--signal needs --pid-file'],
    [['--dir', '/x', '--pid-file', '/y', '--signal', 'HUPP'], 'must be a signal'],
    [['--dir', '/x', '--reload=-H host'], 'is not the name of a unit'],
    [['--dir', '/x', '--post', 'file:///etc/passwd'], 'is not an http or https URL'],
    [['--dir', '/x', '--password-file', '/no-such-file'], 'there is no such file'],
  ])('refuses %j', async (args, problem) => {
    const { code, stderr } = await icpAgent(['files', ...args])
    expect([code, stderr]).toEqual([2, expect.stringContaining(problem)])
  })
})

describe('PKCS#12', () => {
  beforeAll(async () => {
    await writeFile(out('password'), 'a pass phrase\n')
    expect((await files('p12', '--once', '--password-file', out('password'))).code).toBe(0)
  })

  test('OpenSSL opens the store with the key that fits the certificate', async () => {
    const args = ['pkcs12', '-in', join(out('p12'), 'keystore.p12'), '-passin', 'pass:a pass phrase', '-nodes']
    const text = execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const key = createPrivateKey(text.slice(text.indexOf('-----BEGIN PRIVATE KEY-----')))
    const leaf = new X509Certificate(text.slice(text.indexOf('-----BEGIN CERTIFICATE-----')))
    expect(leaf.checkPrivateKey(key)).toBe(true)
    expect(leaf.serialNumber).toBe(new X509Certificate(await read('p12', 'svid.pem')).serialNumber)
    expect((await stat(join(out('p12'), 'keystore.p12'))).mode & 0o777).toBe(0o600)
  })

  test.skipIf(pathOf('keytool') === null)(
    'Java finds a key entry in one store, and a trusted authority in the other',
    () => {
      const list = (name: string) =>
        execFileSync('keytool', ['-list', '-keystore', join(out('p12'), name), '-storepass', 'a pass phrase'], {
          encoding: 'utf8',
        })
      expect(list('keystore.p12')).toMatch(/svid, .*PrivateKeyEntry/)
      expect(list('truststore.p12')).toMatch(/trustedCertEntry/)
    },
  )

  test('a password that programs read differently is refused', async () => {
    for (const password of ['short', 'pässword', '']) {
      await writeFile(out('bad'), password)
      expect(await files('p12', '--once', '--password-file', out('bad'))).toMatchObject({ code: 2 })
    }
  })
})

test('files renews them, tells of each, and removes what was replaced', async () => {
  const stop = new AbortController()
  const log = out('rotations')
  const args = ['files', '--dir', out('kept'), '--socket', agent.address, '--run', `echo x >> ${log}`]
  const running = icpAgent(args, { signal: stop.signal })
  const rotations = async () => (await readFile(log, 'utf8').catch(() => '')).length / 2
  await expect.poll(rotations).toBeGreaterThanOrEqual(1)
  const first = await readlink(join(out('kept'), '..data'))
  const serial = (await fitTogether('kept')).serialNumber
  await expect.poll(rotations).toBeGreaterThanOrEqual(2)
  expect((await fitTogether('kept')).serialNumber).not.toBe(serial)
  await expect.poll(() => stat(join(out('kept'), first)).catch(() => null)).toBeNull()
  stop.abort()
  expect((await running).code).toBe(0)
  await fitTogether('kept')
})
