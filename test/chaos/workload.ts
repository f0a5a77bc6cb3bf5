import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { listen, openCall } from './call.js'
import { MessageCheck, type Time } from './message-check.js'
import type { WorkloadOrder, WorkloadReport, WorkloadSettings } from './reports.js'
import { EMPTY_MESSAGE } from './wire.js'
import { JwtWorkload } from './workload-jwt.js'

// One workload process: keeps a stream of X.509-SVIDs open with nothing but Node's HTTP/2, and checks all that it gets.

const settings = JSON.parse(process.argv[2] ?? '{}') as WorkloadSettings
const check = new MessageCheck(settings)
let offset = settings.offset
let offsetChangedAt = 0
let session: ClientHttp2Session | null = null
let stream: ClientHttp2Stream | null = null
/** The end of the identity that is needed, as of the last message of the stream that is open now. */
let heldUntil = 0
let serial = ''
let served: boolean | null = null
let why = 'it has only just started'

/** Clocks of agent and workload are told of a jump one after the other. */
const JUMP_GRACE_MS = 2_000
const REOPEN_MS = 150

const time = (): Time => ({ now: Date.now() + offset, jumped: Date.now() - offsetChangedAt <= JUMP_GRACE_MS })

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
  const holds = stream !== null && time().now < heldUntil
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
  const current = openCall(session, 'FetchX509SVID', EMPTY_MESSAGE)
  listen(
    current,
    (message) => {
      if (stream !== current) check.anew()
      stream = current
      received(message)
      look()
    },
    (reason) => {
      if (stream === current) stream = null
      lost(reason)
      setTimeout(open, REOPEN_MS)
    },
  )
}

function lost(reason: string): void {
  why = reason
  if (stream === null) {
    heldUntil = 0
    serial = ''
    tell({ kind: 'ended', at: Date.now() })
  }
  look()
}

function received(message: Buffer): void {
  const checked = check.message(message, time())
  for (const what of checked.violations) tell({ kind: 'violation', what, at: Date.now() })
  heldUntil = checked.heldUntil ?? heldUntil
  serial = checked.serial
  tell({ kind: 'received', ids: checked.ids, fresh: checked.fresh, at: Date.now() })
}

if (settings.jwtEveryMs > 0) {
  const circumstances = () =>
    session && stream && serial !== '' && !time().jumped ? { session, serial, clock: offsetChangedAt } : null
  const jwt = new JwtWorkload(settings.needs, circumstances, time, tell)
  setInterval(() => void jwt.fetch(), settings.jwtEveryMs)
}
setInterval(look, 100)
open()
