import { status } from '@grpc/grpc-js'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClientProcess } from './support/client-process.js'
import { Environment, MY_UID, TRUST_DOMAIN, WEB } from './support/environment.js'
import { cell } from './support/matrix.js'
import type { Program } from './support/programs.js'
import { helperProgram, helperToolchain, SPIFFE_HELPER } from './support/spiffe-helper.js'
import { nameOf } from './support/status-server.js'
import { neverAsksAgain } from './support/statuses.js'
import { authorities, denied, serials } from './support/story.js'

const NAME = 'spiffe-helper'
const { missing } = helperToolchain()

describe.skipIf(missing !== null)(missing === null ? NAME : `${NAME} (skipped: ${missing})`, () => {
  let environment: Environment
  let program: Program
  let workload: ClientProcess
  const seen = new Set<string>()

  /** The first SVID, told after `since`, that was never told before. */
  const newSerial = async (since = 0) => {
    const told = await workload.event('x509', (line) => serials(line).some((serial) => !seen.has(serial)), since)
    for (const serial of serials(told)) seen.add(serial)
  }

  beforeAll(async () => {
    program = await helperProgram()
    environment = await Environment.open({ server: { svidTtlSeconds: 12, jwtKid: true } })
    workload = environment.start(program, ['workload'])
  })
  afterAll(() => environment?.[Symbol.asyncDispose]())

  cell(NAME, 'version', 'is the one that the page names', async () => SPIFFE_HELPER)

  cell(NAME, 'X.509-SVID', 'writes an SVID that its bundle verifies, and the key of it', async () => {
    await newSerial()
    expect(seen.size).toBe(1)
    return 'verified'
  })

  cell(NAME, 'rotation', 'writes each new SVID', async () => {
    await newSerial()
    await newSerial()
    return 'seen'
  })

  cell(NAME, 'new authority', 'writes a new authority, and then SVIDs of it', async () => {
    const since = workload.now
    await environment.server.rotateCa()
    await workload.event('x509-bundles', (line) => authorities(line) === 2, since)
    const pushed = workload.now
    await newSerial(pushed)
    await newSerial(pushed)
    return 'seen'
  })

  cell(NAME, 'JWT-SVID with `kid`', 'writes a JWT-SVID and the keys for it', async () => {
    const { token } = await written(workload)
    expect(decodeJwt(token)).toMatchObject({ sub: WEB })
    expect(decodeProtectedHeader(token).kid).toBeDefined()
    return 'fetched, verified locally'
  })

  cell(NAME, 'agent killed', 'comes back to an agent that was killed', async () => {
    await environment.agent.kill()
    const since = workload.now
    await environment.agent.start()
    await newSerial(since)
    return 'comes back'
  })

  cell(NAME, 'entry taken away', 'is denied then, keeps its files, and writes a new SVID when it is back', async () => {
    const [entry] = environment.server.entries
    await environment.server.deleteEntry(entry?.id ?? '')
    const fetch = await denied(workload)
    const held = await workload.ask('current')
    const since = workload.now
    await environment.server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': MY_UID } })
    await newSerial(since)
    expect(fetch.error).toContain('still waits')
    return `a new one waits; its files ${held.error === undefined ? 'keep the last SVID' : 'are gone'}`
  })

  describe('with tokens as the ICP server issues them', () => {
    let faithful: Environment
    beforeAll(async () => {
      faithful = await Environment.open()
    })
    afterAll(() => faithful?.[Symbol.asyncDispose]())

    cell(NAME, 'JWT-SVID without `kid`', 'writes no JWT-SVID that it cannot verify', async () => {
      const other = faithful.start(program, ['workload'])
      const { error } = await other.event('jwt-refused')
      expect(error).toMatch(/key id/)
      expect((await other.ask('jwt')).error).toContain('jwt.token')
      return 'refused'
    })

    cell(NAME, 'never asks again after', 'comes back after every other status', async () => {
      const codes = await neverAsksAgain(faithful, () => program)
      expect(codes).not.toContain(status.UNAVAILABLE)
      expect(codes).not.toContain(status.PERMISSION_DENIED)
      return codes.map(nameOf).join(', ') || 'nothing'
    })
  })

  it('was told nothing that is broken', () => {
    expect(workload.told.filter(({ event }) => event === 'broken')).toEqual([])
  })
})

/** The token that it wrote, and how many keys of which trust domains; resolves once both files are there. */
async function written(workload: ClientProcess): Promise<{ token: string }> {
  const found = async () => (await workload.ask('jwt')).result as { token: string } | undefined
  const keys = expect.arrayContaining([{ domain: TRUST_DOMAIN, keys: 1 }])
  await expect.poll(found, { timeout: 30_000, interval: 250 }).toMatchObject({ keys })
  return (await found()) ?? { token: '' }
}
