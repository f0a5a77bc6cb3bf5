import { describe, expect, it } from 'vitest'
import { createCsr } from '../../../agent/crypto/csr.js'
import { codeOf } from '../../../agent/errors.js'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { controlPlaneContract } from '../../contract/control-plane.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeControlPlane } from '../../fakes/control-plane.js'
import { rsaKey } from '../../fakes/keys.js'

for (const generation of ['tenant', 'workspace'] as const) {
  controlPlaneContract(`the ${generation} API in memory`, async () => {
    const clock = new FakeClock()
    const plane = await FakeControlPlane.create({ clock, generation })
    return {
      plane,
      generation,
      tenantId: plane.tenantId,
      nodeId: plane.nodeId,
      now: () => clock.now(),
      serveBundle: () => undefined,
      register: async (entry) => plane.addEntry(entry),
      remove: async (id) => plane.removeEntry(id),
      mintToken: async () => plane.mintToken(),
      present: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    }
  })
}

describe('the fake control plane', () => {
  const signal = new AbortController().signal

  it('loses an answer after its work when told so: the token is used up', async () => {
    const plane = await FakeControlPlane.create({ clock: new FakeClock(), generation: 'workspace' })
    const joinToken = plane.mintToken()
    const csrPem = await createCsr({ key: await rsaKey(), uri: plane.agent.uri, commonName: '' })
    const request = { evidence: { type: 'join_token', evidence: {}, joinToken }, csrPem } as const
    plane.fail('attestNode', new Error('lost'), { when: 'after' })
    expect(await plane.attestNode(request, signal).catch((error: unknown) => error)).toEqual(new Error('lost'))
    expect(codeOf(await plane.attestNode(request, signal).catch((error: unknown) => error))).toBe('icp.unauthorized')
  })

  it('publishes only the new authority after a rotation', async () => {
    const plane = await FakeControlPlane.create({ clock: new FakeClock() })
    const [before] = (await plane.bundle(signal)).map(parseAuthority)
    await plane.rotateCa()
    const after = (await plane.bundle(signal)).map(parseAuthority)
    expect(after).toHaveLength(1)
    expect(after[0]?.fingerprint).not.toBe(before?.fingerprint)
  })
})
