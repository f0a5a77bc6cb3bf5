import { describe, expect, it } from 'vitest'
import { collectEvidence, type NodeAttestationType, type NodeAttestor } from '../../../agent/agent-svid/evidence.js'
import { JoinTokenSource } from '../../../agent/agent-svid/join-token.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { never } from './world.js'

const attestor = (type: NodeAttestationType, applies = false): NodeAttestor => ({
  type,
  applies: async () => applies,
  evidence: async () => ({ type, evidence: { from: type } }),
})
const attestors = (...applying: NodeAttestationType[]) => ({
  kubernetes: attestor('kubernetes', applying.includes('kubernetes')),
  docker: attestor('docker', applying.includes('docker')),
  unix: attestor('unix', applying.includes('unix')),
  join_token: attestor('join_token', applying.includes('join_token')),
})
const tokens = (files: MemoryFiles, path: string | null = '/token', token: string | null = null) =>
  new JoinTokenSource(files, { path, token: token === null ? null : new Secret(token) })

describe('the type of evidence', () => {
  it.each<[string, NodeAttestationType[], 'auto' | NodeAttestationType, NodeAttestationType]>([
    ['auto prefers kubernetes', ['kubernetes', 'docker', 'unix'], 'auto', 'kubernetes'],
    ['auto takes docker where kubernetes does not apply', ['docker', 'unix'], 'auto', 'docker'],
    ['auto takes unix on a plain machine', ['unix'], 'auto', 'unix'],
    ['auto never takes a join token alone', ['unix', 'join_token'], 'auto', 'unix'],
    ['auto ends with unix whatever happens', [], 'auto', 'unix'],
    ['what is configured is taken, though another applies', ['kubernetes', 'unix'], 'unix', 'unix'],
    ['what is configured is taken, though it does not seem to apply', ['unix'], 'docker', 'docker'],
  ])('%s', async (_fact, applying, type, expected) => {
    const options = { type, attestors: attestors(...applying), joinTokens: tokens(new MemoryFiles(), null) }
    const { evidence, tokenDigest } = await collectEvidence(options, never())
    expect([evidence.type, tokenDigest]).toEqual([expected, null])
  })

  it('a join token stands beside any evidence', async () => {
    const files = new MemoryFiles()
    files.content.set('/token', Buffer.from(' secret-1\n'))
    const collect = () => collectEvidence({ type: 'unix', attestors: attestors(), joinTokens: tokens(files) }, never())
    const first = await collect()
    expect(first.evidence.joinToken?.reveal()).toBe('secret-1')
    expect(JSON.stringify(first)).not.toContain('secret-1')
    files.content.set('/token', Buffer.from('secret-2'))
    const second = await collect()
    expect(second.evidence.joinToken?.reveal()).toBe('secret-2')
    expect(second.tokenDigest).not.toBe(first.tokenDigest)
  })

  it('join_token without a token is a lock-out, before anything is sent', async () => {
    const options = { type: 'join_token', attestors: attestors(), joinTokens: tokens(new MemoryFiles()) } as const
    await expect(collectEvidence(options, never())).rejects.toMatchObject({ code: 'agent.locked_out' })
  })
})

describe('the join token', () => {
  it('in the file wins over the one in the configuration, which fills in while the file is missing or empty', async () => {
    const files = new MemoryFiles()
    const source = tokens(files, '/token', 'configured')
    const read = async () => (await source.read())?.token.reveal()
    expect(await read()).toBe('configured')
    files.content.set('/token', Buffer.from('\n'))
    expect(await read()).toBe('configured')
    files.content.set('/token', Buffer.from('from file'))
    expect(await read()).toBe('from file')
  })

  it('that is nowhere is null', async () => {
    expect(await tokens(new MemoryFiles(), null).read()).toBeNull()
  })
})
