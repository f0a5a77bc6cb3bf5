/** One line of a plot; x and y of each point. */
export interface Series {
  readonly title: string
  readonly points: readonly (readonly [number, number])[]
}

const WIDTH = 760
const LEFT = 60
const RIGHT = 12
const HEIGHT = 90

const short = (value: number) => (value >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3))))

/** An SVG with one panel per series, y from 0; colours for light and dark pages. */
export function linePlot(series: readonly Series[], unitOfX: string): string {
  const panels = series.flatMap(({ title, points }, n) => {
    const y = 24 + n * (HEIGHT + 40)
    const most = Math.max(...points.map(([, value]) => value), 1e-9)
    const last = Math.max(...points.map(([x]) => x), 1e-9)
    const at = ([x, value]: readonly [number, number]) =>
      `${(LEFT + ((WIDTH - LEFT - RIGHT) * x) / last).toFixed(1)},${(y + 6 + HEIGHT * (1 - value / most)).toFixed(1)}`
    return [
      `<text x="${LEFT}" y="${y}" font-weight="bold">${title}</text>`,
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y + 6 + HEIGHT}" y2="${y + 6 + HEIGHT}" stroke="#8b949e"/>`,
      `<text x="${LEFT - 6}" y="${y + 14}" text-anchor="end">${short(most)}</text>`,
      `<text x="${LEFT - 6}" y="${y + 8 + HEIGHT}" text-anchor="end">0</text>`,
      `<polyline fill="none" stroke="#2f81f7" stroke-width="1.2" points="${points.map(at).join(' ')}"/>`,
      `<text x="${WIDTH - RIGHT}" y="${y + 20 + HEIGHT}" text-anchor="end">${short(last)} ${unitOfX}</text>`,
    ]
  })
  const height = 24 + series.length * (HEIGHT + 40)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12" fill="#6e7681">`,
    ...panels,
    '</svg>',
    '',
  ].join('\n')
}
