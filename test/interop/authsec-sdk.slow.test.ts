import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { file_authsec_workload } from '../../proto/gen/authsec/workload_pb.js'
import type { ClientProcess } from './support/client-process.js'
import { Environment, MY_UID, TRUST_DOMAIN, WEB } from './support/environment.js'
import { jwtStory } from './support/jwt-story.js'
import { cell } from './support/matrix.js'
import type { Program } from './support/programs.js'
import { pinned, pythonProgram } from './support/python.js'
import { shapeOf } from './support/shape.js'
import { CODES, neverAsksAgain, statusIn } from './support/statuses.js'
import { authorities, denied, serials } from './support/svid-story.js'
import { python } from './support/toolchains.js'

const NAME = 'authsec-sdk'
/** Where QuickStartSVID writes what it holds; it has no setting for it. */
const ITS_FILES = '/tmp/spiffe-certs'
const { missing } = python()

describe.skipIf(missing !== null)(missing === null ? NAME : `${NAME} (skipped: ${missing})`, () => {
  const filesWereThere = existsSync(ITS_FILES)
  let environment: Environment
  /** Unmodified: what it holds is also in `ITS_FILES`, as that of every other process that uses it. */
  let program: Program
  let quickStart: ClientProcess
  let polling: ClientProcess

  beforeAll(async () => {
    program = await pythonProgram(NAME)
    environment = await Environment.open({ server: { svidTtlSeconds: 12, jwtKid: true } })
    quickStart = environment.start(program, ['workload'])
  })
  /** The same with files of its own, so that several can run at a time. */
  const apart = (env: Readonly<Record<string, string>> = {}): Program => ({
    ...program,
    env: { CERT_DIR: mkdtempSync(join(environment.dir, 'certificates-')), ...env },
  })
  afterAll(async () => {
    await environment?.[Symbol.asyncDispose]()
    if (!filesWereThere) rmSync(ITS_FILES, { recursive: true, force: true })
  })

  /** The first SVID told after `since` that is not among the known. */
  const newSerial = async (client: ClientProcess, since: number): Promise<void> => {
    const known = new Set(client.told.slice(0, since).flatMap(serials))
    await client.event('x509', (told) => serials(told).some((serial) => !known.has(serial)), since)
  }

  cell(NAME, 'version', 'is the one that the page names', async () => pinned(NAME, NAME))

  cell(
    NAME,
    'X.509-SVID',
    'initializes with unix:///path and with a bare path, and what it holds verifies',
    async () => {
      await quickStart.event('x509')
      polling = environment.start(apart({ POLL_SECONDS: '6' }), ['workload', 'bare'])
      await polling.event('x509')
      return 'verified'
    },
  )

  cell(NAME, 'rotation', 'sees its X.509-SVID rotate', async () => {
    await newSerial(quickStart, quickStart.now)
    return 'seen'
  })

  cell(NAME, 'new authority', 'trusts a new authority, and what it issues verifies', async () => {
    const since = quickStart.now
    await environment.server.rotateCa()
    await quickStart.event('x509-bundles', (told) => authorities(told) === 2, since)
    await newSerial(quickStart, quickStart.now)
    return 'seen'
  })

  cell(NAME, 'mTLS', 'authenticates with the contexts that it makes, before and after a rotation', async () => {
    expect((await quickStart.ask('handshake')).result).toEqual([WEB])
    await newSerial(quickStart, quickStart.now)
    expect((await quickStart.ask('handshake')).result).toEqual([WEB])
    return 'both ends in one process, before and after a rotation'
  })

  it('reads the X.509 bundles', async () => {
    expect((await quickStart.ask('bundles')).result).toContain(TRUST_DOMAIN)
  })

  jwtStory(NAME, 'with kid', () => quickStart, false)

  cell(NAME, 'agent killed', 'gets nothing more after the agent was killed, until it polls', async () => {
    await environment.agent.kill()
    const since = [quickStart.now, polling.now] as const
    await environment.agent.start()
    await newSerial(polling, since[1])
    expect(quickStart.told.slice(since[0]).flatMap(serials)).toEqual([])
    return 'comes back with its next poll, every 30 minutes'
  })

  cell(NAME, 'entry taken away', 'is denied when its entry is taken away, and served when it asks again', async () => {
    const [entry] = environment.server.entries
    await environment.server.deleteEntry(entry?.id ?? '')
    const refused = await denied(quickStart)
    expect((await quickStart.ask('current')).result).toEqual({ id: WEB })
    const since = polling.now
    await environment.server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': MY_UID } })
    await newSerial(polling, since)
    return `${statusIn(refused)}; its source keeps the last SVID`
  })

  it('sends and reads the messages that the agent reads and sends', async () => {
    const client = environment.start(program, ['messages'])
    const { descriptor } = await client.event('messages')
    const theirs = fromBinary(FileDescriptorProtoSchema, Buffer.from(String(descriptor), 'base64'))
    const ours = toBinary(FileDescriptorProtoSchema, file_authsec_workload.proto)
    expect(shapeOf(theirs)).toEqual(shapeOf(fromBinary(FileDescriptorProtoSchema, ours)))
  })

  describe('with a server that issues slowly', () => {
    let faithful: Environment
    beforeAll(async () => {
      faithful = await Environment.open()
    })
    afterAll(() => faithful?.[Symbol.asyncDispose]())

    it('initializes within its 5 seconds while the agent holds the call', async () => {
      using _ = faithful.server.setFault({ kind: 'latency', ms: 2_500, endpoint: '/v1/workload/attest' })
      await faithful.start(apart(), ['workload']).event('x509')
    })

    jwtStory(NAME, 'without kid', () => faithful.start(apart(), ['workload']), false)

    cell(NAME, 'never asks again after', 'asks again after no status, until it polls', async () => {
      expect(await neverAsksAgain(faithful, apart)).toEqual(CODES)
      return 'anything, until its next poll'
    })

    it('gives up after 5 seconds when it is denied', async () => {
      for (const { id } of faithful.server.entries) await faithful.server.deleteEntry(id)
      const told = await denied(faithful.start(apart(), ['workload']))
      expect(statusIn(told)).toBe('PermissionDenied')
      const { seconds } = await faithful.start(apart(), ['workload']).event('gave-up')
      expect(seconds).toBeGreaterThan(4.9)
      expect(seconds).toBeLessThan(8)
    })
  })
})
