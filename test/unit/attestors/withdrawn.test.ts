import { expect, it } from 'vitest'
import type { WorkloadAttestor } from '../../../agent/attestation/attestor.js'
import type { AttestorConfig } from '../../../attestors/index.js'
import { withdrawnSelectors } from '../../../attestors/withdrawn.js'
import { load, TENANT } from '../config/given.js'

const settings = async (attestation: string): Promise<AttestorConfig['attestation']> =>
  (await load({ file: `agent: {tenant_id: ${TENANT}}\nattestation: ${attestation}` })).config.attestation
const attestor = (name: string, ...platforms: string[]): WorkloadAttestor => ({
  name,
  platforms,
  attest: async () => ({ selectors: new Map(), unavailable: [], notes: [] }),
})
const unix = attestor('unix', 'unix')

it('a platform that is turned off withdraws its selectors at once, and no others', async () => {
  const same = await settings('{}')
  const withdrawn = withdrawnSelectors(
    { settings: same, attestors: [unix, attestor('docker', 'docker', 'authsec'), attestor('systemd', 'systemd')] },
    { settings: same, attestors: [unix, attestor('docker', 'docker')] },
  )
  expect(withdrawn.now('systemd', 'systemd:id')).toBe(true)
  expect(withdrawn.now('docker', 'authsec:client-id')).toBe(true)
  expect(withdrawn.now('docker', 'docker:label:app')).toBe(false)
  expect(withdrawn.now('unix', 'unix:uid')).toBe(false)
  expect(withdrawn.next('unix', 'unix:uid')).toBe(false)
})

it('stricter rules withdraw what the wider ones made', async () => {
  const docker = attestor('docker', 'docker')
  const withdrawn = withdrawnSelectors(
    {
      settings: await settings('{unix: {forgeable: true}, docker: {image_labels: merged}}'),
      attestors: [unix, docker],
    },
    { settings: await settings('{}'), attestors: [unix, docker] },
  )
  expect(withdrawn.now('unix', 'unix:process')).toBe(true)
  expect(withdrawn.now('docker', 'docker:label:app')).toBe(false)
  expect(withdrawn.next('docker', 'docker:label:app')).toBe(true)
  expect(withdrawn.next('docker', 'docker:image-id')).toBe(false)
})
