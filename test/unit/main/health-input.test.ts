import { expect, test } from 'vitest'
import { callersHidden, serverTrouble } from '../../../agent/main/health-input.js'
import type { Trouble } from '../../../agent/observability/once.js'

const trouble = (code: Trouble['code'], since: number): Trouble => ({ code, message: `says ${code}`, since })
const came = trouble('icp.server_error', 10)
const outage = trouble('icp.unreachable', 20)

test.each<[string, Trouble | null, Trouble | null, Trouble | null]>([
  ['none where neither the last request nor its last attempt failed', null, null, null],
  ['that of the attempt while the request is still repeated', null, outage, outage],
  ['that of the request where the server answers, and badly', came, null, came],
  ['that of the attempt, since the earlier of both', came, outage, { ...outage, since: 10 }],
  ['no later than that of the attempt', { ...came, since: 30 }, outage, outage],
])("the server's trouble is %s", (_, lastRequest, lastAttempt, expected) => {
  expect(serverTrouble(lastRequest, lastAttempt)).toEqual(expected)
})

test.each<[string, boolean, boolean, boolean, ReturnType<typeof callersHidden>]>([
  ['are seen in a pod with hostPID', true, false, false, null],
  ['cannot be seen in a pod where pid 1 is the agent or beside it', true, true, false, 'by_namespaces'],
  ['cannot be seen in a pod where the latest one was refused', true, false, true, 'refused'],
  ['are no matter of readiness on a machine', false, true, true, null],
])('callers %s', (_, inPod, besidePid1, refused, expected) => {
  expect(callersHidden(inPod, { besidePid1 }, { callersHidden: refused })).toBe(expected)
})
