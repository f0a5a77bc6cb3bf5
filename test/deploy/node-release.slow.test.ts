import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { pinnedNode } from '../support/pinned-node.js'

/** The releases of a line that both architectures have, by what the registry lists; null where it does not answer. */
function releases(major: string): string[] | null {
  const lists = Object.keys(pinnedNode().integrity).map((arch): string[] | null => {
    const args = ['view', `node-linux-${arch}`, 'versions', '--json', '--fetch-retries=1', '--fetch-timeout=30000']
    try {
      return JSON.parse(execFileSync('npm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
    } catch {
      return null
    }
  })
  const [first, ...others] = lists
  if (!first || others.includes(null)) return null
  return first.filter(
    (version) =>
      /^\d+\.\d+\.\d+$/.test(version) &&
      version.startsWith(`${major}.`) &&
      others.every((list) => list?.includes(version)),
  )
}

it('the Node that is handed out is the newest patch of its line', ({ skip }) => {
  const { version } = pinnedNode()
  const found = releases(version.split('.')[0] ?? '')
  if (found === null) return skip('the registry does not answer: nobody knows whether there is a newer Node')
  const newest = found.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  expect(version, `scripts/package/node.json names Node ${version}; ${newest} is out: take it, it may mend holes`).toBe(
    newest,
  )
})
