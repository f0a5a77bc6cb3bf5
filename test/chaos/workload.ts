import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import type { WorkloadOrder, WorkloadReport, WorkloadSettings } from './reports.js'
import { decodeFrames, decodeSvids, EMPTY_MESSAGE } from './wire.js'

// One workload process: keeps a stream of X.509-SVIDs open with nothing but Node's HTTP/2, and judges all that it gets.

const settings = JSON.parse(process.argv[2] ?? '{}') as WorkloadSettings
let offset = settings.offset
let offsetChangedAt = 0
let session: ClientHttp2Session | null = null
let stream: ClientHttp2Stream | null = null
/** The end of the identity that is needed, as of the last message of the stream that is open now. */
let heldUntil = 0
let served: boolean | null = null
let why = 'it has only just started'
const seen = new Set<string>()

/** Clocks of agent and workload are told of a jump one after the other. */
const JUMP_GRACE_MS = 2_000
const REOPEN_MS = 150

const now = () => Date.now() + offset

process.on('message', (order: WorkloadOrder) => {
  offset = order.offset
  offsetChangedAt = Date.now()
})
// Without a driver there is nobody to work for.
process.on('disconnect', () => process.exit(0))

function tell(report: WorkloadReport): void {
  process.send?.(report)
}

function look(): void {
  const holds = stream !== null && now() < heldUntil
  if (stream !== null && heldUntil > 0 && !holds) why = 'its SVID has expired on an open stream'
  if (holds === served) return
  served = holds
  tell({ kind: 'served', served, why: holds ? '' : why, at: Date.now() })
}

function open(): void {
  if (!session || session.closed || session.destroyed) {
    session = connect('http://localhost', { createConnection: () => connectSocket(settings.socketPath) })
    session.on('error', (error: NodeJS.ErrnoException) => lost(`no connection: ${error.code ?? error.message}`))
    session.on('goaway', () => session?.close())
    session.on('close', () => {
      session = null
    })
  }
  const current = session.request({
    ':method': 'POST',
    ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true',
  })
  const parts: Buffer[] = []
  let ended = false
  const end = (reason: string) => {
    if (ended) return
    ended = true
    if (stream === current) stream = null
    lost(reason)
    setTimeout(open, REOPEN_MS)
  }
  const status = (headers: Record<string, unknown>) => {
    if (headers['grpc-status'] !== undefined) end(`status ${headers['grpc-status']}: ${headers['grpc-message']}`)
  }
  current.on('response', status)
  current.on('trailers', status)
  current.on('error', (error) => end(error.message))
  current.on('close', () => end('the stream was closed'))
  current.on('data', (chunk: Buffer) => {
    parts.push(chunk)
    const { messages, rest } = decodeFrames(Buffer.concat(parts))
    parts.splice(0, parts.length, rest)
    for (const message of messages) {
      stream = current
      judge(message)
    }
    look()
  })
  current.end(EMPTY_MESSAGE)
}

function lost(reason: string): void {
  why = reason
  heldUntil = stream === null ? 0 : heldUntil
  look()
}

/** Nothing of it may be another's, expired, or with a key that does not fit. */
function judge(message: Buffer): void {
  const svids = decodeSvids(message)
  const violation = (what: string) => tell({ kind: 'violation', what, at: Date.now() })
  if (svids.length === 0) violation('a message without an identity')
  let fresh = 0
  for (const { spiffeId, chain, key, bundle } of svids) {
    const leaf = new X509Certificate(chain)
    if (!seen.has(leaf.serialNumber)) fresh++
    seen.add(leaf.serialNumber)
    if (!spiffeId.startsWith(settings.ownPrefix)) violation(`the identity of somebody else: ${spiffeId}`)
    if (!`${leaf.subjectAltName},`.includes(`URI:${spiffeId},`)) violation(`${spiffeId} is not in its certificate`)
    const late = now() - Date.parse(leaf.validTo)
    if (late >= 0 && Date.now() - offsetChangedAt > JUMP_GRACE_MS) violation(`${spiffeId} expired ${late} ms ago`)
    if (!leaf.checkPrivateKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' }))) {
      violation(`the key of ${spiffeId} does not fit`)
    }
    if (!issuers(bundle).some((issuer) => leaf.verify(issuer.publicKey))) violation(`${spiffeId} is of no issuer known`)
  }
  const [first] = svids
  if (first?.spiffeId === settings.needs) heldUntil = Date.parse(new X509Certificate(first.chain).validTo)
  else violation(`the first identity is ${first?.spiffeId}`)
  tell({ kind: 'received', svids: svids.length, fresh })
}

/** Certificates one after the other in DER: each begins with a sequence of a long length. */
function issuers(bundle: Buffer): X509Certificate[] {
  const found: X509Certificate[] = []
  for (let at = 0; at + 4 < bundle.length; ) {
    const length = 4 + bundle.readUInt16BE(at + 2)
    found.push(new X509Certificate(bundle.subarray(at, at + length)))
    at += length
  }
  return found
}

setInterval(look, 100)
open()
