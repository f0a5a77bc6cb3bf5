const UNITS = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const
const SIZE = /^(\d{1,15})\s?(|B|KiB|MiB|GiB)$/

/** Bytes of `65536`, `64KiB`, `512MiB`, `1GiB`; null for what is not a size. */
export function parseSize(text: string): number | null {
  const match = SIZE.exec(text)
  if (match === null) return null
  const bytes = Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** The shortest exact way to write it: 65,536 is `64KiB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB'] as const) {
    if (bytes > 0 && bytes % UNITS[unit] === 0) return `${bytes / UNITS[unit]}${unit}`
  }
  return `${bytes}`
}
