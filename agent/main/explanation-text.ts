import type { ExplainAnswer, ProcessAnswer } from '../admin/routes/explain.js'
import { printable } from '../observability/printable.js'
import { type Advice, adviceOn, adviceOnDenial } from './explanation-advice.js'
import type { Style } from './terminal/style.js'
import { moment } from './terminal/time.js'
import { wrap } from './terminal/wrap.js'

/** An explanation as text for people: the process, its matches, why there is none, what to do. */
export function explanationText(answer: ExplainAnswer, style: Style, width: number): string {
  const page = new TextPage(style, width)
  if (answer.denial) showDenial(page, answer.denial)
  for (const process of answer.processes) showProcess(page, process, answer)
  page.others(answer.others)
  if (answer.processes.length > 0) {
    page.title('What only a connection shows')
    for (const text of answer.only_a_connection_shows) page.item(text)
  } else {
    page.line(answer.how)
    if (answer.denial) showAdvice(page, adviceOnDenial(answer.denial))
  }
  return page.text.trimStart()
}

/** Text in titled parts, wrapped and made printable. */
class TextPage {
  text = ''

  constructor(
    readonly style: Style,
    private readonly width: number,
  ) {}

  title(text: string): void {
    this.text += `\n${this.style.bold(printable(text))}\n`
  }

  line(text: string, indent = 2): void {
    this.text += wrap(printable(text), ' '.repeat(indent), this.width)
  }

  item(text: string): void {
    this.text += wrap(printable(text), '  - ', this.width)
  }

  /** A text to copy or compare, which stays on one line. */
  exact(text: string, indent = 4): void {
    this.text += `${' '.repeat(indent)}${printable(text)}\n`
  }

  others(others: ExplainAnswer['others']): void {
    if (others.length === 0) return
    this.title('Other processes')
    for (const { pid, container, container_name, why } of others) {
      this.line(`${pid} in ${container_name ?? container.slice(0, 12)}: ${why}`)
    }
  }
}

function showDenial(page: TextPage, denial: NonNullable<ExplainAnswer['denial']>): void {
  const { id, time, last_time, count, pid, uid, program, method, code, reason, explanation } = denial
  page.title(`Denial ${id}`)
  const often = count > 1 ? `, ${count} times, last at ${momentOf(last_time)}` : ''
  page.line(`${momentOf(time)}${often}: process ${pid} of user ${uid}${program === null ? '' : ` (${program})`}`)
  page.line(`called ${method} and was told: ${reason} (${code})`)
  if (explanation) showCaptured(page, explanation)
  else page.line('What was known of it was too much to keep.')
}

type Captured = NonNullable<NonNullable<ExplainAnswer['denial']>['explanation']>

function showCaptured(page: TextPage, explanation: Captured): void {
  const found = Object.entries(explanation.selectors)
  page.line(found.length === 0 ? 'No selectors were found then.' : 'Selectors that were found then:')
  for (const [selector, value] of found) page.exact(`${selector}=${value}`)
  if (explanation.unavailable.length > 0) page.line(`Unavailable then: ${explanation.unavailable.join(', ')}`)
  for (const note of explanation.notes) page.line(`(${note})`, 4)
  for (const { entry_id, spiffe_id, lacks } of explanation.nearest ?? []) {
    page.line(`Nearest: ${spiffe_id} (entry ${entry_id})`)
    for (const { selector, wanted, found: has } of lacks) page.exact(lackText(selector, wanted, has))
  }
}

function showProcess(page: TextPage, process: ProcessAnswer, answer: ExplainAnswer): void {
  const { subject, error, selectors, unavailable, matches, nearest } = process
  const { pid, uid, gid, groups, command, program, container, container_name } = subject
  page.title(`Process ${pid} (${command})`)
  page.line(`user ${uid}, group ${gid}${groups.length > 0 ? `, groups ${groups.join(' ')}` : ''}`)
  page.line(program === null ? 'program: no file of the host' : `program ${program}`)
  if (container !== null) page.line(`container ${container}${container_name === null ? '' : ` (${container_name})`}`)
  page.line(`found as: ${answer.how}`)

  page.title('Selectors by attestor')
  if (error) page.line(`none: ${error.message} (${error.code})`)
  for (const attestor of attestorsOf(process)) {
    page.line(attestor)
    for (const { selector, value } of selectors.filter((one) => one.attestor === attestor)) {
      page.exact(`${selector}=${value}`)
    }
    for (const { text } of process.notes.filter((one) => one.attestor === attestor)) page.line(`(${text})`, 4)
  }
  if (unavailable.length > 0) {
    page.title('Unavailable')
    for (const { platform, reason } of unavailable) page.line(`${platform}: ${reason}`)
    if (process.uncertain) page.line('With these, it might match entries that it does not match now.')
  }

  page.title(matches.length === 0 ? 'No entry matches' : 'Entries that match')
  for (const match of matches) showMatch(page, match)
  if (nearest.length > 0) {
    page.title('Nearest entries')
    for (const { entry_id, spiffe_id, missing, different } of nearest) {
      page.line(`${spiffe_id} (entry ${entry_id})`)
      for (const { selector, wanted, found } of different) page.exact(lackText(selector, wanted, found))
      for (const { selector, value, unavailable: unknown } of missing) {
        page.exact(unknown ? `unknown    ${selector}=${value} (unavailable now)` : lackText(selector, value, null))
      }
    }
  }

  page.title('On a call now')
  for (const text of outcomeOf(process, answer.hold_seconds)) page.line(text)
  showAdvice(page, adviceOn(process))
}

function showAdvice(page: TextPage, advice: readonly Advice[]): void {
  if (advice.length === 0) return
  page.title('What to do')
  for (const { text, command: line } of advice) {
    page.item(text)
    if (line !== undefined) page.exact(line, 6)
  }
}

function attestorsOf({ selectors, notes }: ProcessAnswer): readonly string[] {
  return [...new Set([...selectors, ...notes].map(({ attestor }) => attestor))]
}

function showMatch(page: TextPage, match: ProcessAnswer['matches'][number]): void {
  const { entry_id, spiffe_id, state, why, svid_expires_at, code, retry_at, counts } = match
  page.line(`${spiffe_id} (entry ${entry_id})`)
  const until = svid_expires_at === null ? '' : `, SVID until ${momentOf(svid_expires_at)}`
  page.line(`${state}${until}`, 4)
  if (why !== null) page.line(why, 4)
  if (retry_at !== null) page.line(`failed (${code}); tried again at ${momentOf(retry_at)}`, 4)
  if (!counts) page.line('left out: it is beyond the most identities that a workload gets', 4)
}

function lackText(selector: string, wanted: string, found: string | null): string {
  return found === null ? `missing    ${selector}=${wanted}` : `different  ${selector}=${wanted} (it has ${found})`
}

function outcomeOf({ decision, after_hold: later }: ProcessAnswer, holdSeconds: number): readonly string[] {
  switch (decision.kind) {
    case 'send':
      return [
        `is sent ${decision.spiffe_ids.join(', ')}${decision.until === null ? '' : `, until ${momentOf(decision.until)}`}`,
      ]
    case 'refuse':
      return [`is refused: ${decision.text} (${decision.code})`]
    default: {
      const end =
        later.kind === 'send' ? `is sent ${later.spiffe_ids.join(', ')}` : `is refused: ${later.text} (${later.code})`
      return [
        `waits, up to ${holdSeconds} s as calls do (${decision.code}): ${decision.text}`,
        `and, if nothing comes, ${end}`,
      ]
    }
  }
}

function momentOf(iso: string): string {
  return moment(Date.parse(iso))
}
