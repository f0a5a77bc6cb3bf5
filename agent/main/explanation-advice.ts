import type { ExplainAnswer, ProcessAnswer } from '../admin/routes/explain.js'

export interface Advice {
  readonly text: string
  /** A command to copy. */
  readonly command?: string
}

const REGISTER = 'docs/register.md'
/** Sets of selectors for a suggested entry, neither too broad nor for one process only; the first available one is used. */
const GOOD = [
  ['k8s:ns', 'k8s:sa'],
  ['docker:container-name'],
  ['docker:image'],
  ['systemd:id'],
  ['unix:uid', 'unix:path'],
  ['unix:uid'],
] as const

/** Advice for the problems of an explanation; empty if there are none. */
export function adviceOn(process: ProcessAnswer): readonly Advice[] {
  const { decision, after_hold: later } = process
  if (decision.kind === 'send') return []
  switch (later.code ?? decision.code) {
    case 'entry.none':
      return registerProcess(process)
    case 'entry.shadowed':
      return [
        { text: 'Another entry with the same selectors wins on the server. Remove one of them, or give it others.' },
      ]
    case 'attestation.platform_missing':
      return [
        { text: 'Find out why the platform does not answer; health says since when:', command: 'icp-agent status' },
        ...registerProcess(process),
      ]
    case 'attestation.failed':
    case 'attestation.timeout':
      return [
        { text: 'No attestor could say what the process is; health and log say more:', command: 'icp-agent status' },
      ]
    case 'agent.starting':
      return [{ text: 'Wait until the agent has read its entries; what it waits for:', command: 'icp-agent status' }]
    case 'caller.exited':
    case 'caller.executable_changed':
    case 'caller.ids_changed':
      return [{ text: 'The process has changed or ended during the check. Ask again.' }]
    case 'caller.unidentified':
      return [
        {
          text: 'The agent may not read the process (SYS_PTRACE), or the process ends or moves to another control group. Ask again; see docs/errors.md.',
        },
      ]
    case 'svid.pending':
      return [{ text: pending(process), command: 'icp-agent status entries' }]
    default:
      return [
        {
          text: 'The answer of the server for the entry, and the time of the next request:',
          command: 'icp-agent status entries',
        },
      ]
  }
}

function pending({ matches }: ProcessAnswer): string {
  return matches.some(({ state }) => state === 'idle')
    ? 'The SVID has not been requested yet. A call of the process makes the agent request it; then see'
    : 'The agent is requesting the SVID; see the state of the entry:'
}

/** The same for a process that has ended, from the record of its denial. */
export function adviceOnDenial({ code, explanation }: NonNullable<ExplainAnswer['denial']>): readonly Advice[] {
  if (code !== 'entry.none' || explanation === null) return []
  return register(new Map(Object.entries(explanation.selectors)), (explanation.nearest ?? []).length > 0)
}

function registerProcess({ selectors, nearest }: ProcessAnswer): readonly Advice[] {
  return register(new Map(selectors.map(({ selector, value }) => [selector, value])), nearest.length > 0)
}

function register(found: ReadonlyMap<string, string>, isNear: boolean): readonly Advice[] {
  const keys = GOOD.find((set) => set.every((key) => found.has(key)))
  const advice: Advice[] = []
  if (isNear) {
    advice.push({ text: 'If one of the nearest entries was meant for it: correct that entry, or the process.' })
  }
  if (!keys) return [...advice, { text: `Register an entry for it: ${REGISTER}` }]
  const pairs = keys.map((key) => [key, found.get(key) ?? ''] as const)
  return [
    ...advice,
    {
      text: `${isNear ? 'Or register' : 'Register'} an entry that it matches, at the ICP server with (${REGISTER} has the whole call)`,
      command: `"selectors": ${JSON.stringify(Object.fromEntries(pairs))}`,
    },
    {
      text: 'and at the embedded server (icp-agent dev-icp) by',
      command: `icp-agent dev-icp entry create /NAME ${pairs.map(([key, value]) => quoted(`${key}=${value}`)).join(' ')}`,
    },
    { text: 'An entry counts within half a minute.' },
  ]
}

/** Quotes for a shell, because processes choose the values of some selectors. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
