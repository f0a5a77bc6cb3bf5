import { Metadata } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { claimsOf, contradictions } from '../../../agent/workload-api/claims.js'

const ID = 'ab'.repeat(32)
const FACTS = {
  pid: 7,
  facts: new Map([
    ['k8s:ns', 'shop'],
    ['docker:container-id', ID],
    ['docker:label:app', 'web'],
  ]),
  missing: [],
}

function claims(headers: Readonly<Record<string, string>>) {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return claimsOf(metadata)
}

describe('what a process says of itself', () => {
  it('is named where it is not so, with what is', () => {
    const said = claims({
      'x-pid': '1',
      'x-k8s-namespace': 'kube-system',
      'x-k8s-pod-name': 'admin',
      'x-docker-label-app': 'api',
    })
    expect(contradictions(said, FACTS)).toEqual([
      { name: 'x-pid', claimed: '1', found: '7' },
      { name: 'x-k8s-namespace', claimed: 'kube-system', found: 'shop' },
      { name: 'x-k8s-pod-name', claimed: 'admin', found: null },
      { name: 'x-docker-label-app', claimed: 'api', found: 'web' },
    ])
  })

  it('is nothing to speak of where it is so', () => {
    const said = { 'x-pid': '7', 'x-k8s-namespace': 'shop', 'x-docker-label-app': 'web' }
    expect(contradictions(claims({ ...said, 'x-docker-container-id': ID }), FACTS)).toEqual([])
    expect(contradictions(claims({ ...said, 'x-docker-container-id': ID.slice(0, 12) }), FACTS)).toEqual([])
  })

  it('is not judged while the platform that knows is missing, nor where the name of a label cannot be told', () => {
    const said = claims({ 'x-k8s-pod-name': 'admin', 'x-docker-label-myapp': 'x' })
    expect(contradictions(said, { ...FACTS, missing: ['k8s'] })).toEqual([])
  })

  it('is bounded, and other metadata is none', () => {
    const labels = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-docker-label-${i}`, 'x'.repeat(1000)]))
    const said = claims({ 'workload.spiffe.io': 'true', authorization: 'secret', ...labels })
    expect(said).toHaveLength(16)
    for (const { name, claimed } of said) {
      expect(name).toMatch(/^x-docker-label-/)
      expect(claimed).toHaveLength(128)
    }
  })
})
