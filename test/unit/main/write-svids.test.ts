import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { spiffeMessages } from '../../../agent/client/spiffe-messages.js'
import { verifyX509Context, type X509Context } from '../../../agent/client/x509-context.js'
import { writeSvids } from '../../../agent/main/write-svids.js'
import { Disk } from '../../../agent/platform/disk.js'
import type { TestCa } from '../../fakes/ca.js'
import { BEGIN, rootCa, type SentBundles, sentSvid, x509SvidMessage } from '../../fakes/workload-messages.js'

let ca: TestCa
let directory: string

beforeAll(async () => {
  ca = await rootCa()
})
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'icp-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function context(paths: readonly string[], federated: SentBundles = {}): Promise<X509Context> {
  const svids = await Promise.all(paths.map((path) => sentSvid(ca, `spiffe://one.example${path}`)))
  return verifyX509Context(() => spiffeMessages.x509Svids(x509SvidMessage('spiffe', svids, federated)), BEGIN)
}

test('certificate, key and bundle fit together, and only the owner reads the key', async () => {
  const received = await context(['/a', '/b'], { 'spiffe://two.example': [ca.der] })
  const out = join(directory, 'out')
  const written = await writeSvids(out, received, new Disk())
  expect((await readdir(out)).sort()).toEqual([
    'bundle.0.pem',
    'bundle.1.pem',
    'federated.two.example.pem',
    'svid.0.key',
    'svid.0.pem',
    'svid.1.key',
    'svid.1.pem',
  ])
  expect(written).toHaveLength(7)
  for (const n of [0, 1]) {
    const [leaf, key, bundle] = await Promise.all(
      [`svid.${n}.pem`, `svid.${n}.key`, `bundle.${n}.pem`].map((name) => readFile(join(out, name), 'utf8')),
    )
    const certificate = new X509Certificate(leaf ?? '')
    expect(certificate.checkPrivateKey(createPrivateKey(key ?? ''))).toBe(true)
    expect(certificate.verify(new X509Certificate(bundle ?? '').publicKey)).toBe(true)
    expect((await stat(join(out, `svid.${n}.key`))).mode & 0o777).toBe(0o600)
    expect((await stat(join(out, `svid.${n}.pem`))).mode & 0o777).toBe(0o644)
  }
})

test('what is no longer granted is removed, and what is not ours stays', async () => {
  await writeSvids(directory, await context(['/a', '/b'], { 'spiffe://two.example': [ca.der] }), new Disk())
  await writeFile(join(directory, 'notes.txt'), 'mine')
  await writeSvids(directory, await context(['/a']), new Disk())
  expect((await readdir(directory)).sort()).toEqual(['bundle.0.pem', 'notes.txt', 'svid.0.key', 'svid.0.pem'])
})
