import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClientProcess } from './support/client-process.js'
import { Environment, TRUST_DOMAIN, WEB } from './support/environment.js'
import { cell } from './support/matrix.js'
import type { Program } from './support/programs.js'
import { helperProgram, helperToolchain, SPIFFE_HELPER } from './support/spiffe-helper.js'
import {
  killedAgentStory,
  neverAgainStory,
  Serials,
  type Subject,
  svidStory,
  takenAwayStory,
} from './support/svid-story.js'

const NAME = 'spiffe-helper'
const { missing } = helperToolchain()

describe.skipIf(missing !== null)(missing === null ? NAME : `${NAME} (skipped: ${missing})`, () => {
  let environment: Environment
  let program: Program
  let workload: ClientProcess
  const subject: Subject = { environment: () => environment, workload: () => workload }
  const seen = new Serials(subject.workload)

  beforeAll(async () => {
    program = await helperProgram()
    environment = await Environment.open({ server: { svidTtlSeconds: 12, jwtKid: true } })
    workload = environment.start(program, ['workload'])
  })
  afterAll(() => environment?.[Symbol.asyncDispose]())

  svidStory(NAME, SPIFFE_HELPER, subject, seen)

  cell(NAME, 'JWT-SVID with `kid`', 'writes a JWT-SVID and the keys for it', async () => {
    const { token } = await written(workload)
    expect(decodeJwt(token)).toMatchObject({ sub: WEB })
    expect(decodeProtectedHeader(token).kid).toBeDefined()
    return 'fetched, verified locally'
  })

  killedAgentStory(NAME, subject, seen)

  takenAwayStory(NAME, subject, seen, (fetch, held) => {
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

    neverAgainStory(
      NAME,
      () => faithful,
      () => program,
    )
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
