import { bar, lifeColour, remaining } from '../../agent/main/terminal/bar.js'
import { clip, type TextPart, wrap } from '../../agent/main/terminal/parts.js'
import type { Style } from '../../agent/main/terminal/style.js'
import { span } from '../../agent/main/terminal/time.js'
import { selectorText, short, tryIt } from './lines.js'
import { type Held, isComplete, type Story } from './story.js'

const LABEL = 10
const MAX_WIDTH = 110

/** The board below the events: server, node and workload, and the life of each SVID. */
export function board(story: Story, now: number, columns: number, style: Style): string[] {
  const width = Math.min(columns - 1, MAX_WIDTH)
  const { dim } = style
  const row = (label: string, ...parts: TextPart[]) => clip([[` ${label.padEnd(LABEL)}`, dim], ...parts], width)
  const held = story.held.get('spiffe') ?? []
  return [
    clip([['─'.repeat(width), dim]], width),
    ...processes(story, now, style).map(([label, parts]) => row(label, ...parts)),
    ...selectorRows(story, width).map((text, i) => row(i === 0 ? 'selectors' : '', [text])),
    '',
    ...held.flatMap((svid) => lifeRows(svid, story, now, width, style)),
    clip([[` ${footer(story, held)}`, dim]], width),
  ]
}

function processes(story: Story, now: number, { cyan, dim, blue }: Style): [string, TextPart[]][] {
  const { server, agent, node, workload } = story
  const rows: [string, TextPart[]][] = []
  if (server) rows.push(['server', [[server.address], [`  ${server.generation} generation`, dim]]])
  if (node) {
    const { full, empty } = bar(remaining(node, now), 12)
    const life: TextPart[] = [
      [full, blue],
      [empty, dim],
      [` ${span(node.notAfter - now)}`, dim],
    ]
    rows.push(['agent', [...life, [`  ${node.spiffeId}`, cyan]]])
  }
  if (agent) {
    // Two rows, so that it can be copied from a narrow terminal too.
    const [command, socket] = tryIt(agent.socket)
    rows.push(['try it', [[`${command} \\`, dim]]])
    rows.push(['', [[`  ${socket}`, dim]]])
  }
  if (workload) rows.push(['workload', [[`pid ${workload.pid}`], [`  ${workload.executable}`, dim]]])
  return rows
}

/** The workload's selectors in at most three lines. */
function selectorRows({ selectors }: Story, width: number): string[] {
  if (!selectors) return []
  const texts = Object.entries(selectors).map(([key, value]) => selectorText({ [key]: value }))
  return wrap(texts, width - LABEL - 2).slice(0, 3)
}

function lifeRows(svid: Held, story: Story, now: number, width: number, style: Style): string[] {
  const { bold, cyan, dim } = style
  const fraction = remaining(svid, now)
  const { full, empty } = bar(fraction, Math.max(10, Math.min(48, width - 44)))
  const because = story.entries.get(svid.spiffeId)
  const rotations = svid.rotations === 0 ? 'not rotated yet' : `rotated ${svid.rotations} ×`
  return [
    clip(
      [
        [` ${svid.spiffeId}`, (text) => bold(cyan(text))],
        [because ? `  because ${selectorText(because.selectors)}` : '', dim],
      ],
      width,
    ),
    clip(
      [
        [' '],
        [full, lifeColour(fraction, style)],
        [empty, dim],
        [` ${span(svid.notAfter - now).padStart(5)}`, bold],
        [`  serial ${short(svid.serial)}  ${rotations}`, dim],
      ],
      width,
    ),
    '',
  ]
}

function footer(story: Story, held: readonly Held[]): string {
  const end = 'Ctrl-C ends the demo'
  if (held.length === 0) return `waiting for the first SVID · ${end}`
  return `${isComplete(story) ? 'both dialects agree · ' : ''}an SVID is rotated at about half of its life · ${end}`
}
