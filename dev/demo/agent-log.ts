import type { DemoEvent } from './events.js'

type LogLine = Readonly<Record<string, unknown>>

/** Log lines of the agent that the demo shows; others are ignored. */
const MEANING: Readonly<Record<string, (line: LogLine, withToken: boolean) => DemoEvent | null>> = {
  'Node attestation successful': (line, withToken) => node(line, false, withToken),
  'Agent SVID renewal successful': (line) => node(line, true, false),
  'Workload attested': ({ pid, selectors }) =>
    typeof pid === 'number' && isTexts(selectors) ? { kind: 'attested', pid, selectors } : null,
  'Workload API call denied': ({ pid, uid, reason }) =>
    typeof pid === 'number' && typeof uid === 'number' ? { kind: 'denied', pid, uid, reason: String(reason) } : null,
}

/** A line of the agent's log as an event; null for what the demo does not show. */
export function agentEvent(line: LogLine, withToken: boolean): DemoEvent | null {
  const meaning = MEANING[String(line['event'])]
  if (meaning) return meaning(line, withToken)
  if (line['level'] !== 'warning' && line['level'] !== 'error') return null
  const error = line['error']
  const reason = typeof error === 'object' && error !== null && 'message' in error ? error.message : (error ?? '')
  return { kind: 'warning', who: 'agent', text: [line['event'], reason].filter((part) => part !== '').join(': ') }
}

function node(line: LogLine, renewed: boolean, withToken: boolean): DemoEvent | null {
  const { spiffe_id: spiffeId, not_after: end } = line
  if (typeof spiffeId !== 'string' || typeof end !== 'string') return null
  return { kind: 'node', spiffeId, notAfter: Date.parse(end), renewed, withToken }
}

function isTexts(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string')
}
