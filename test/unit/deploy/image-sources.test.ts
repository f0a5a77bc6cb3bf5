import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const text = (path: string) => readFileSync(path, 'utf8')

/** What `npm run build` reads: the projects that it names, what each extends, and the folders of the first. */
function sources(): readonly string[] {
  const projects = [...text('scripts/build.mjs').matchAll(/'(tsconfig[\w.]*\.json)'/g)].map(([, name]) => name ?? '')
  const bases = projects.map((project): string => JSON.parse(text(project)).extends.replace('./', ''))
  const folders: string[] = JSON.parse(text('tsconfig.build.json')).include
  return [...new Set([...projects, ...bases, ...folders, 'scripts'])]
}

test('the image is built from everything that the build reads', () => {
  const copied = [...text('deploy/Dockerfile').matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, names]) =>
    (names ?? '').split(' '),
  )
  const allowed = text('.dockerignore').split('\n')
  expect(sources()).toContain('agent')
  for (const source of sources()) {
    expect(copied, `deploy/Dockerfile copies ${source}`).toContain(source)
    expect(allowed, `.dockerignore lets ${source} in`).toContain(`!${source}`)
  }
})
