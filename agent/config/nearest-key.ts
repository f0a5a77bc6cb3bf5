const MIN_PART = 4

/**
 * The known key that was probably meant, or null if the key resembles none. Recognises another spelling (`tenantId`), a
 * typing error (`tennant_id`), the wrong section (`tenant_id` at the top) and part of a name (`docker.socket`).
 */
export function nearestKey(unknown: string, known: Iterable<string>): string | null {
  const wanted = parts(unknown)
  let best: { key: string; cost: number } | null = null
  for (const key of known) {
    const candidate = parts(key)
    const longest = Math.max(wanted.last.length, candidate.last.length)
    const typing = isPartOf(wanted, candidate) ? 1 : distance(wanted.last, candidate.last)
    if (longest === 0 || typing > Math.max(1, Math.floor(longest / 3))) continue
    const cost = typing + distance(wanted.section, candidate.section) / 100
    if (best === null || cost < best.cost) best = { key, cost }
  }
  return best?.key ?? null
}

interface KeyParts {
  readonly section: string
  readonly last: string
}

/** The beginning of a name (`agent.socket`), or the end of one with words before it (`docker.docker_socket_path`). */
function isPartOf(wanted: KeyParts, candidate: KeyParts): boolean {
  const [shorter, longer] = [wanted.last, candidate.last].sort((a, b) => a.length - b.length)
  if (shorter === undefined || longer === undefined || shorter.length < MIN_PART) return false
  if (!candidate.section.endsWith(wanted.section)) return false
  if (shorter === wanted.last) return longer.startsWith(shorter)
  return wanted.section !== '' && longer.endsWith(shorter)
}

function parts(key: string): KeyParts {
  const plain = key
    .slice(0, 200)
    .toLowerCase()
    .replace(/[-_\s]/g, '')
  const dot = plain.lastIndexOf('.')
  return { section: plain.slice(0, Math.max(dot, 0)), last: plain.slice(dot + 1, dot + 60) }
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
