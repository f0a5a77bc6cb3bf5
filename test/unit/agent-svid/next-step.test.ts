import { expect, test } from 'vitest'
import { type NextStep, type NextStepInput, nextStep } from '../../../agent/agent-svid/next-step.js'

const NOW = 1_000_000
const MINUTE = 60_000

/** A node of the workspace API whose certificate is valid, accepted, and due for renewal in ten minutes. */
const CALM: NextStepInput = {
  unfinished: false,
  newest: { workspace: true, renewAt: NOW + 10 * MINUTE },
  valid: true,
  clockWait: null,
  newIssuerAt: null,
  refusedForMs: null,
  inactive: false,
  freshToken: false,
  attestNext: false,
  locked: false,
}
const TENANT_API = { newest: { workspace: false, renewAt: NOW + 10 * MINUTE } }
const RENEW_LATER: NextStep = { step: 'renew', at: NOW + 10 * MINUTE }
const RENEW: NextStep = { step: 'renew', at: NOW }
const ATTEST: NextStep = { step: 'attest', at: NOW }
const NEVER: NextStep = { step: 'wait', at: null }

const ROWS: readonly [string, Partial<NextStepInput>, NextStep][] = [
  ['a node that has never attested attests', { newest: null, valid: false }, ATTEST],
  ['a certificate that is accepted is renewed when its time comes', {}, RENEW_LATER],
  ['a new issuer brings the renewal forward', { newIssuerAt: NOW + MINUTE }, { step: 'renew', at: NOW + MINUTE }],
  ['a new issuer never puts it off', { newIssuerAt: NOW + 20 * MINUTE }, RENEW_LATER],
  ['a new issuer counts in the tenant API too', { ...TENANT_API, newIssuerAt: NOW }, RENEW],
  [
    'an answer that waits is completed before all else',
    { unfinished: true, inactive: true },
    { step: 'complete', at: NOW },
  ],
  ['a lapsed certificate is attested for', { valid: false }, ATTEST],
  ['a clock that is wrong is waited for', { valid: false, clockWait: NOW + 5 }, { step: 'wait', at: NOW + 5 }],
  ['a refusal in place of a renewal is attested for', { attestNext: true }, ATTEST],
  ['refused certificates are tried again', { refusedForMs: 0 }, RENEW],
  ['a join token is not risked before six minutes', { refusedForMs: 6 * MINUTE - 1 }, RENEW],
  ['after six minutes of refusals the node attests', { refusedForMs: 6 * MINUTE }, ATTEST],
  ['a fresh join token is used at once', { refusedForMs: 0, freshToken: true }, ATTEST],
  ['a fresh join token is left alone while a certificate is accepted', { freshToken: true }, RENEW_LATER],
  ['a lock-out keeps its own pace', { refusedForMs: 9 * MINUTE, locked: true }, RENEW],
  ['a refusal in the tenant API does not hurry', { ...TENANT_API, refusedForMs: 9 * MINUTE }, RENEW_LATER],
  ['a revoked agent asks nothing', { inactive: true }, NEVER],
  ['nor when its certificate has lapsed', { inactive: true, valid: false }, NEVER],
  ['nor when it has none', { inactive: true, newest: null, valid: false }, NEVER],
  ['nor after a refusal that leads to attestation', { inactive: true, attestNext: true }, NEVER],
  ['nor for a new issuer', { inactive: true, newIssuerAt: NOW }, NEVER],
  ['nor in the tenant API', { ...TENANT_API, inactive: true }, NEVER],
  ['a revoked agent comes back with a fresh join token', { inactive: true, freshToken: true }, ATTEST],
  [
    'but not while the clock is wrong, which would waste it',
    { inactive: true, freshToken: true, clockWait: NOW + 5 },
    { step: 'wait', at: NOW + 5 },
  ],
]

test.each(ROWS)('%s', (_fact, change, expected) => {
  expect(nextStep({ ...CALM, ...change }, NOW)).toEqual(expected)
})
