// `node scripts/terminal-image.mjs COLUMNSxROWS FILE.svg -- COMMAND…`: the output of a command on a terminal of that size,
// as an image for the documents. The command runs in tmux (a server of its own), so the terminal is a real one. The image
// shows the content of tmux at the end of the command, with its history, or after --after SECONDS (`--watch`).
// docs/images/status-*.svg and explain.svg are of an agent beside `icp-agent dev-icp`, which was stopped.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const CELL = { width: 8.4, height: 18, font: 14 }
const PAGE = { ground: '#10151c', text: '#d5dbe3', margin: 12 }
const PLAIN = { colour: null, bold: false, dim: false }
const COLOURS = {
  31: '#ff7b72',
  32: '#56c271',
  33: '#e3b341',
  34: '#79b8ff',
  35: '#d2a8ff',
  36: '#56d4dd',
}

const { values, positionals } = parseArgs({ options: { after: { type: 'string' } }, allowPositionals: true })
const [size = '', file = '', ...command] = positionals
const [, columns, rows] = /^(\d+)x(\d+)$/.exec(size) ?? []
if (columns === undefined || rows === undefined || command.length === 0) {
  process.stderr.write('Usage: node scripts/terminal-image.mjs [--after SECONDS] COLUMNSxROWS FILE.svg -- COMMAND…\n')
  process.exitCode = 2
} else writeFileSync(file, image(await screen(), Number(columns)))

/** The lines, with their escape sequences. */
async function screen() {
  const directory = mkdtempSync(join(tmpdir(), 'terminal-image-'))
  const socket = join(directory, 'tmux')
  const tmux = (...args) => spawnSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' })
  try {
    const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
    const shown = `env TERM=tmux-256color ${quoted}; tmux -S '${socket}' wait-for -S ended; sleep 60`
    const { status, stderr } = tmux('-u', 'new-session', '-d', '-x', columns, '-y', rows, 'sh', '-c', shown)
    if (status !== 0) throw new Error(`tmux: ${stderr}`)
    if (values.after === undefined) tmux('wait-for', 'ended')
    else await setTimeout(Number(values.after) * 1000)
    return tmux('capture-pane', '-e', '-p', '-S', '-').stdout.trimEnd().split('\n')
  } finally {
    tmux('kill-server')
    rmSync(directory, { recursive: true })
  }
}

function image(lines, width) {
  const across = Math.ceil(width * CELL.width) + 2 * PAGE.margin
  const down = lines.length * CELL.height + 2 * PAGE.margin
  const style = `font: ${CELL.font}px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre`
  let look = PLAIN
  const body = lines.map((line, row) => {
    const read = pieces(line, look)
    look = read.look
    return read.found.map((piece) => draw(piece, row)).join('')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${across}" height="${down}" viewBox="0 0 ${across} ${down}">
<rect width="100%" height="100%" rx="6" fill="${PAGE.ground}"/>
<g fill="${PAGE.text}" style="${style}">
${body.filter(Boolean).join('\n')}
</g>
</svg>
`
}

/** Runs of text with one style, each with its first column; the style continues in the next line. */
function pieces(line, before) {
  let look = before
  let column = 0
  const found = []
  for (const [n, piece] of line.split('\u001b[').entries()) {
    // Each part begins with the numbers of an escape sequence and `m`, followed by its text.
    const end = n === 0 ? -1 : piece.indexOf('m')
    if (n > 0) look = piece.slice(0, end).split(';').reduce(painted, look)
    const text = piece.slice(end + 1)
    // Spaces are not drawn, and block characters are drawn as rectangles.
    for (const { 0: word, index } of text.matchAll(/[█▏▎▍▌▋▊▉░]|[^\s█▏▎▍▌▋▊▉░]+(?: [^\s█▏▎▍▌▋▊▉░]+)*/g)) {
      found.push({ ...look, word, column: column + [...text.slice(0, index)].length })
    }
    column += [...text].length
  }
  return { found, look }
}

function painted(look, code) {
  const n = Number(code)
  if (n === 0) return PLAIN
  if (n === 1) return { ...look, bold: true }
  if (n === 2) return { ...look, dim: true }
  if (n === 22) return { ...look, bold: false, dim: false }
  if (n === 39) return { ...look, colour: null }
  return COLOURS[n] === undefined ? look : { ...look, colour: COLOURS[n] }
}

function draw({ word, column, colour, bold, dim }, row) {
  const x = round(PAGE.margin + column * CELL.width)
  const top = PAGE.margin + row * CELL.height
  const fill = colour === null ? '' : ` fill="${colour}"`
  const faint = dim ? ' opacity=".6"' : ''
  const eighths = ' ▏▎▍▌▋▊▉█'.indexOf(word)
  if (eighths > 0 || word === '░') {
    const width = round((eighths > 0 ? eighths / 8 : 1) * CELL.width)
    const opacity = word === '░' ? ' opacity=".25"' : faint
    return `<rect x="${x}" y="${top + 2}" width="${width}" height="${CELL.height - 4}"${fill}${opacity}/>`
  }
  const width = round([...word].length * CELL.width)
  const strong = bold ? ' font-weight="bold"' : ''
  const text = word.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${top + 14}" textLength="${width}"${fill}${strong}${faint}>${text}</text>`
}

function round(n) {
  return Math.round(n * 10) / 10
}
