import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { REMEDIES } from '../../../agent/main/remedies.js'

/** pidfd_open; what the agent does without on older kernels than 5.8, 6.5 and 6.9 is not asked for. */
const NEEDED = '5.3'

it.each([
  'agent/platform/linux-kernel.ts',
  'deploy/install.sh',
  'README.md',
  'docs/errors.md',
  'docs/install/vm.md',
  'docs/install/docker.md',
  'docs/install/kubernetes.md',
])('%s asks for the same kernel as the others', (path) => {
  const asked = [
    ...readFileSync(path, 'utf8').matchAll(/(\d+\.\d+)\s+or\s+(?:later|newer)\s+(?:is\s+needed|\(`pidfd_open`\))/g),
  ]
  expect(asked.map(([, version]) => version)).toEqual([NEEDED])
})

it('what to do about a kernel that is too old names that one', () => {
  expect(REMEDIES['kernel.unsupported']).toContain(`Linux ${NEEDED} or later`)
})
