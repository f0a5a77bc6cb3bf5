import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The keys in the table of selectors of docs/attestors/<platform>.md, sorted. */
export function documentedSelectors(platform: string): string[] {
  const page = readFileSync(join(import.meta.dirname, `../../docs/attestors/${platform}.md`), 'utf8')
  const section = page.split('## Selectors')[1]?.split('\n\n')[1] ?? ''
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, key = '']) => key))
    .sort()
}
