// Runs spiffe-helper and tells on stdout, one JSON object a line, what it leaves in its files.
//   node main.mjs HELPER workload   watches the files; answers commands from stdin
//   node main.mjs HELPER watch      watches the files
import { spawn, spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const AUDIENCE = 'https://api.interop.example'
/** The helper puts `unix://` before it. */
const SOCKET = (process.env.SPIFFE_ENDPOINT_SOCKET ?? '').replace(/^unix:\/\//, '')
const LOOK_MS = 100
/** The helper writes one file after the other: what does not fit for longer than this is broken. */
const UNFIT_MS = 5_000
const PATIENCE_MS = 10_000

const [helper = '', mode = ''] = process.argv.slice(2)
const directory = mkdtempSync(join(tmpdir(), 'icp-helper-'))
process.on('exit', () => rmSync(directory, { recursive: true, force: true }))

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

/** Writes a configuration; resolves with its path. Files of the helper come beside it. */
function configuration(name, { daemon }) {
  const files = join(directory, name)
  mkdirSync(files)
  const path = join(files, 'helper.conf')
  writeFileSync(
    path,
    `agent_address = "${SOCKET}"
cert_dir = "${files}"
daemon_mode = ${daemon}
svid_file_name = "svid.pem"
svid_key_file_name = "key.pem"
svid_bundle_file_name = "bundle.pem"
jwt_bundle_file_name = "jwks.json"
jwt_svids = [{ jwt_audience = "${AUDIENCE}", jwt_svid_file_name = "jwt.token" }]
`,
  )
  return { files, path }
}

const certificates = (file) =>
  readFileSync(file, 'utf8')
    .split(/(?=-----BEGIN)/)
    .filter((pem) => pem.includes('CERTIFICATE'))
    .map((pem) => new X509Certificate(pem))

/** What is in the files, verified; throws while they do not fit together. */
function read(files) {
  const [svid] = certificates(join(files, 'svid.pem'))
  const authorities = certificates(join(files, 'bundle.pem'))
  const key = createPrivateKey(readFileSync(join(files, 'key.pem')))
  if (!svid.checkPrivateKey(key)) throw new Error('the key is not that of the certificate')
  if (!authorities.some((authority) => svid.checkIssued(authority) && svid.verify(authority.publicKey))) {
    throw new Error('no authority of the bundle has issued the certificate')
  }
  const id = /(?:^|, )URI:([^,]+)/.exec(svid.subjectAltName ?? '')?.[1] ?? ''
  return { id, serial: svid.serialNumber, domain: new URL(id).host, authorities: authorities.length }
}

const { files, path } = configuration('held', { daemon: true })
// The helper ends when this process is killed.
const child = spawn('setpriv', ['--pdeathsig', 'KILL', helper, '-config', path], { stdio: ['ignore', 2, 'pipe'] })
createInterface({ input: child.stderr }).on('line', (line) => {
  process.stderr.write(`${line}\n`)
  const refused = /Unable to update JWT SVID: (.*)"/.exec(line)
  if (refused) tell({ event: 'jwt-refused', error: refused[1] })
})
child.on('close', (code) => {
  tell({ event: 'helper-ended', code })
  process.exit(1)
})

let told = { serial: '', authorities: 0 }
let unfitSince = null
setInterval(() => {
  try {
    const now = read(files)
    unfitSince = null
    if (now.authorities !== told.authorities) {
      tell({ event: 'x509-bundles', authorities: { [now.domain]: now.authorities } })
    }
    if (now.serial !== told.serial) tell({ event: 'x509', svids: [{ id: now.id, serial: now.serial }] })
    told = now
  } catch (error) {
    if (error.code === 'ENOENT') return
    unfitSince ??= performance.now()
    if (performance.now() - unfitSince > UNFIT_MS) tell({ event: 'broken', error: error.message })
  }
}, LOOK_MS)

let runs = 0
const COMMANDS = {
  /** Starts another helper, which fetches everything once. */
  fetch() {
    const once = configuration(`once-${++runs}`, { daemon: false })
    const { status } = spawnSync(helper, ['-config', once.path], { timeout: PATIENCE_MS, killSignal: 'SIGKILL' })
    if (status === null) throw new Error(`it still waits after ${PATIENCE_MS} ms`)
    if (status !== 0) throw new Error(`it ended with ${status}`)
    return read(once.files)
  },
  current: () => read(files),
  /** Its key sets are base64, by trust domain. */
  jwt: () => ({
    token: readFileSync(join(files, 'jwt.token'), 'utf8').trim(),
    keys: Object.entries(JSON.parse(readFileSync(join(files, 'jwks.json'), 'utf8'))).map(([domain, set]) => ({
      domain,
      keys: JSON.parse(Buffer.from(set, 'base64').toString('utf8')).keys.length,
    })),
  }),
}

if (mode === 'workload') {
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [reply, command] = line.split(' ')
    try {
      tell({ reply, result: COMMANDS[command]() })
    } catch (error) {
      tell({ reply, error: error.message })
    }
  })
}
