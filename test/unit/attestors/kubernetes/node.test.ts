import { describe, expect, it } from 'vitest'
import { Secret } from '../../../../agent/crypto/secret.js'
import { AgentError } from '../../../../agent/errors.js'
import { fileEvents } from '../../../../agent/observability/file-events.js'
import { kubernetesNodeAttestor } from '../../../../attestors/kubernetes/node.js'
import { FakeClock } from '../../../fakes/clock.js'
import { MemoryFiles } from '../../../fakes/memory-files.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

const TOKEN = '/var/run/secrets/tokens/psat'
const never = () => new AbortController().signal

function node(inPod = true) {
  const files = new MemoryFiles()
  const sinks = new RecordedSinks()
  const events = fileEvents(sinks.log, new FakeClock())
  const attestor = kubernetesNodeAttestor({ files, fileEvents: events, inPod, tokenPath: TOKEN, clusterName: 'prod' })
  return { files, sinks, attestor, put: (text: string) => files.content.set(TOKEN, Buffer.from(text)) }
}

describe('the kubernetes node attestor', () => {
  it('sends the projected token, trimmed, and the cluster', async () => {
    const { attestor, put } = node()
    put('header.payload.signature\n')
    const { type, evidence } = await attestor.evidence(never())
    expect([type, evidence['cluster_name']]).toEqual(['kubernetes', 'prod'])
    expect(evidence['psat_token']).toBeInstanceOf(Secret)
    expect(JSON.stringify(evidence)).not.toContain('payload')
  })

  it('reads the token anew each time: the kubelet replaces it', async () => {
    const { attestor, put } = node()
    const read = async () => {
      const { psat_token: token } = (await attestor.evidence(never())).evidence
      return token instanceof Secret ? token.reveal() : token
    }
    put('one')
    expect(await read()).toBe('one')
    put('two')
    expect(await read()).toBe('two')
  })

  it.each(['', 'a b', 'header.payload.sig', 'header.payl', '\u0000\u0001'])(
    'sends the token that was read last while the file holds %j, and says so once',
    async (content) => {
      const { attestor, put, sinks } = node()
      put('header.payload.signature')
      await attestor.evidence(never())
      put(content)
      for (let i = 0; i < 3; i++) {
        const { psat_token: token } = (await attestor.evidence(never())).evidence
        expect(token instanceof Secret && token.reveal()).toBe('header.payload.signature')
        expect(await attestor.applies(never())).toBe(true)
      }
      expect(sinks.events('warn')).toHaveLength(1)
      expect(JSON.stringify(sinks.lines)).not.toMatch(/payl|sig\b/)
      put('header.payload.another00')
      await attestor.evidence(never())
      expect(sinks.events('info')).toHaveLength(1)
    },
  )

  it('applies in a pod that has a token, nowhere else', async () => {
    const inPod = node()
    expect(await inPod.attestor.applies(never())).toBe(false)
    inPod.put('token')
    expect(await inPod.attestor.applies(never())).toBe(true)
    const outside = node(false)
    outside.put('token')
    expect(await outside.attestor.applies(never())).toBe(false)
  })

  it('still applies where the token cannot be read, and then says why', async () => {
    const { attestor, files } = node()
    files.hook = () => {
      throw new AgentError('file.too_large', 'too large')
    }
    expect(await attestor.applies(never())).toBe(true)
    await expect(attestor.evidence(never())).rejects.toMatchObject({ code: 'file.too_large' })
  })

  it.each(['', '\n'])('without a token says where it looked (%j)', async (content) => {
    const { attestor, put } = node()
    if (content) put(content)
    await expect(attestor.evidence(never())).rejects.toMatchObject({
      code: 'platform.unavailable',
      message: expect.stringContaining(TOKEN),
    })
  })
})
