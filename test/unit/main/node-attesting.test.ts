import { beforeEach, expect, it } from 'vitest'
import type { Config } from '../../../agent/config/config.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { LiveConfig } from '../../../agent/main/live-config.js'
import { nodeAttesting } from '../../../agent/main/node-attesting.js'
import { fileEvents } from '../../../agent/observability/file-events.js'
import { FakeClock } from '../../fakes/clock.js'
import { ScriptedHttp } from '../../fakes/http.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { load, TENANT } from '../config/given.js'

const never = new AbortController().signal
const OLD = '/run/old'
const NEW = '/run/new'
const attestingAs = async (tokenPath: string, clusterName = 'one') =>
  (
    await load({
      file: `agent: {tenant_id: ${TENANT}}
attestation: {type: kubernetes, kubernetes: {token_path: ${tokenPath}, cluster_name: ${clusterName}}}`,
    })
  ).config

let files: MemoryFiles
beforeEach(() => {
  files = new MemoryFiles()
  files.content.set(OLD, Buffer.from('token-of-old'))
  files.content.set(NEW, Buffer.from('token-of-new'))
})

async function setting() {
  const clock = new FakeClock()
  const events = fileEvents(new RecordedSinks().log, clock)
  const live = new LiveConfig(await attestingAs(OLD))
  const machine = { os: 'linux', kernel: '6', arch: 'x64', cpus: 2, memoryBytes: 1 }
  const node = { username: 'agent', hostname: 'node-1', ...machine }
  const attesting = nodeAttesting(live.config, { files, node, inPod: true, fileEvents: events }, new ScriptedHttp())
  /** The cluster and the token, as the next attestation of the node would send them. */
  const evidence = async () => {
    const { psat_token: token, cluster_name: cluster } = (await attesting.attestors.kubernetes.evidence(never)).evidence
    return [cluster, token instanceof Secret ? token.reveal() : token]
  }
  return { attesting, events, evidence, prepare: (after: Config) => attesting.reloadable.prepare(after), live }
}

it('other settings make other attestors, which attest the node from the commit on', async () => {
  const { attesting, evidence, prepare } = await setting()
  const before = attesting.attestors
  const change = await prepare(await attestingAs(NEW, 'two'))
  expect(attesting.attestors).toBe(before)
  expect(await evidence()).toEqual(['one', 'token-of-old'])
  change?.commit()
  expect(attesting.attestors).not.toBe(before)
  expect(await evidence()).toEqual(['two', 'token-of-new'])
})

it('a change that is given up leaves those that attest the node, and nothing of its own', async () => {
  const { attesting, evidence, events, prepare } = await setting()
  const before = attesting.attestors
  const change = await prepare(await attestingAs(NEW))
  files.content.set(NEW, Buffer.from('two words'))
  change?.[Symbol.dispose]()
  expect(attesting.attestors).toBe(before)
  expect(await evidence()).toEqual(['one', 'token-of-old'])
  files.content.set(OLD, Buffer.from('two words'))
  await evidence()
  expect(events.broken()).toMatchObject([{ path: OLD }])
})

it('a broken token that no setting names any more is no trouble of the agent', async () => {
  const { evidence, events, prepare } = await setting()
  await evidence()
  files.content.set(OLD, Buffer.from('two words'))
  // What was read before stays in force.
  expect(await evidence()).toEqual(['one', 'token-of-old'])
  expect(events.broken()).toMatchObject([{ path: OLD }])
  const change = await prepare(await attestingAs(NEW))
  expect(events.broken()).toMatchObject([{ path: OLD }])
  change?.commit()
  expect(events.broken()).toEqual([])
})

it('settings that stay the same make nothing, so that the last good token is kept', async () => {
  const { prepare } = await setting()
  expect(await prepare(await attestingAs(OLD))).toBeNull()
})

it('the type is that of the configuration in force', async () => {
  const { attesting, live } = await setting()
  live.replace((await load({ file: `agent: {tenant_id: ${TENANT}}\nattestation: {type: unix}` })).config)
  expect(attesting.type).toBe('unix')
})
