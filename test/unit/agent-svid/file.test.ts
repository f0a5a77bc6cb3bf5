import { chmod, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { parseRecord } from '../../../agent/agent-svid/record.js'
import type { AgentSvidKeeper } from '../../../agent/agent-svid/run.js'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { TestCa } from '../../fakes/ca.js'
import { TENANT } from '../../fakes/control-plane.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { rsaKey } from '../../fakes/keys.js'
import { IDENTITY_FILE, never, World } from './world.js'

const NAME = 'agent-identity.json'

/** An identity as an agent left it in a world's file, and what another agent makes of it after the test has spoilt it. */
async function left(spoil: (text: string) => string) {
  const world = await World.create({ generation: 'workspace' })
  world.giveToken()
  const before = (await world.attested()).current()
  const text = world.files.content.get(IDENTITY_FILE)?.toString() ?? ''
  world.files.content.set(IDENTITY_FILE, Buffer.from(spoil(text)))
  const keeper = world.keeper()
  await keeper.restore()
  return { world, keeper, before, names: await world.files.list('/data') }
}

const OTHER_KEY = pkcs8Pem(await rsaKey(3))
const OTHER_CA = (await TestCa.create('Another CA', { notBefore: 0, notAfter: Date.parse('2099-01-01') })).pem

const edited = (edit: (record: { identity: object }) => void) => (text: string) => {
  const record = JSON.parse(text) as { identity: object }
  edit(record)
  return JSON.stringify(record)
}

describe('the identity file', () => {
  it('brings back what was saved', async () => {
    const { keeper, before, world } = await left((text) => text)
    expect(keeper.current()).toMatchObject({ ...before, key: expect.anything(), authorities: expect.anything() })
    expect(
      keeper
        .current()
        ?.key.reveal()
        .equals(before?.key.reveal() as never),
    ).toBe(true)
    expect(keeper.due(world.clock.now())).toMatchObject({ urgent: false })
    expect(world.sinks.events()).toEqual(['Agent identity restored'])
  })

  const damaged: [string, (text: string) => string][] = [
    ['half of it', (text) => text.slice(0, text.length / 2)],
    ['nothing', () => ''],
    ['no JSON', () => '<html>'],
    ['another version', edited((record) => Object.assign(record, { version: 2 }))],
    ['a key of another certificate', edited(({ identity }) => Object.assign(identity, { key: OTHER_KEY }))],
    ['a certificate that was changed', (text) => text.replace(/(BEGIN CERTIFICATE-----\\n.{40})./, '$1!')],
    ['an authority that is another', edited(({ identity }) => Object.assign(identity, { authorities: [OTHER_CA] }))],
    ['no chain', edited(({ identity }) => Object.assign(identity, { chain: [] }))],
    ['a member missing', edited(({ identity }) => Object.assign(identity, { agent_id: '' }))],
  ]
  it.each(damaged)('with %s is set aside under a dated name, said once, and not trusted', async (_name, spoil) => {
    const { world, keeper, names } = await left(spoil)
    expect(keeper.current()).toBeNull()
    expect(names).toEqual([`${NAME}.damaged-20260101T000000Z`])
    expect(world.sinks.events()).toEqual(['Agent identity file set aside'])
    expect(JSON.stringify(world.sinks.lines)).not.toMatch(/PRIVATE KEY|MII/)
  })

  it.each([
    ['tenant', edited((record) => Object.assign(record, { tenant_id: '00000000-0000-4000-8000-000000000000' }))],
    ['node', edited((record) => Object.assign(record, { node_id: 'node-2' }))],
    ['SPIFFE ID', edited(({ identity }) => Object.assign(identity, { spiffe_id: `spiffe://${TENANT}/agent/node-2` }))],
  ])('of another %s is set aside as foreign', async (_what, spoil) => {
    const { keeper, names } = await left(spoil)
    expect([keeper.current(), names]).toEqual([null, [`${NAME}.foreign-20260101T000000Z`]])
  })

  it('that was set aside makes room: the node attests anew', async () => {
    const { world, keeper, names } = await left(() => 'damaged')
    world.giveToken()
    await keeper.attempt(never())
    expect(keeper.state().kind).toBe('valid')
    expect(await world.files.list('/data')).toEqual(expect.arrayContaining([...names, NAME]))
  })

  it('never says what stands in it when it cannot be read', () => {
    expect(() => parseRecord('-----BEGIN PRIVATE KEY-----')).toThrow('it is not JSON')
    expect(() => parseRecord('{"version":1,"tenant_id":"SECRET"}')).not.toThrow('SECRET')
  })
})

describe('on a real disk', () => {
  async function attestOn(files: TemporaryFiles, world: World): Promise<AgentSvidKeeper> {
    const joinToken = world.server.mintToken().reveal()
    const keeper = world.keeper({ files, dataDir: files.directory, joinToken, joinTokenPath: null })
    await keeper.restore()
    await keeper.attempt(never())
    return keeper
  }

  it('the file has mode 0600 and comes back after a restart', async () => {
    await using files = await TemporaryFiles.create()
    const world = await World.create()
    const first = await attestOn(files, world)
    expect((await stat(files.path(NAME))).mode & 0o7777).toBe(0o600)
    const second = await attestOn(files, world)
    expect(second.current()?.agentId).toBe(first.current()?.agentId)
    expect(world.sinks.events('info')[0]).toBe('Agent identity restored')
    expect(await readdir(files.directory)).toEqual([NAME])
  })

  it('a write that fails half-way leaves the identity that was there, and the new one in memory', async () => {
    await using files = await TemporaryFiles.create()
    const world = await World.create({ generation: 'workspace' })
    const keeper = await attestOn(files, world)
    const serial = keeper.current()?.serial
    const before = await readFile(files.path(NAME), 'utf8')
    using _full = files.fail('write', 'ENOSPC')
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect(keeper.state()).toMatchObject({ kind: 'valid', reason: { code: 'file.io' } })
    expect(keeper.current()?.serial).not.toBe(serial)
    expect([await readFile(files.path(NAME), 'utf8'), world.server.count('renewAgent')]).toEqual([before, 1])
  })

  it.each([
    ['others can write to it', (path: string) => chmod(path, 0o666)],
    [
      'it is a symlink',
      async (path: string) => {
        await writeFile(`${path}.target`, await readFile(path))
        await rm(path)
        await symlink(`${path}.target`, path)
      },
    ],
  ])('a file is not trusted when %s', async (_why, spoil) => {
    await using files = await TemporaryFiles.create()
    const world = await World.create()
    await attestOn(files, world)
    await spoil(files.path(NAME))
    const keeper = world.keeper({ files, dataDir: files.directory })
    await keeper.restore()
    expect(keeper.current()).toBeNull()
    expect(await readdir(files.directory)).toContain(`${NAME}.damaged-20260101T000000Z`)
  })

  it('a disk that does not answer is an error, and nothing is set aside', async () => {
    await using files = await TemporaryFiles.create()
    const world = await World.create()
    await attestOn(files, world)
    const keeper = world.keeper({ files, dataDir: files.directory })
    using _broken = files.fail('read', 'EIO')
    await expect(keeper.restore()).rejects.toMatchObject({ code: 'file.io' })
    expect(await readdir(files.directory)).toEqual([NAME])
  })
})
