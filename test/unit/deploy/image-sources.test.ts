import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const text = (path: string) => readFileSync(path, 'utf8')

/** What `scripts/package.mjs --npm-package` reads: projects and what each extends, the folders of the program, documents. */
function sources(): readonly string[] {
  const projects = [...text('scripts/package/client-library.mjs').matchAll(/'(tsconfig[\w.]*\.json)'/g)].map(
    ([, name]) => name ?? '',
  )
  for (const project of projects) {
    const { extends: base } = JSON.parse(text(project))
    if (base) projects.push(base.replace('./', ''))
  }
  const folders: string[] = JSON.parse(text('tsconfig.build.json')).include
  const documents = text('scripts/package/npm-package.mjs').match(/'[A-Z]+(?:\.md)?'/g) ?? []
  return [...projects, ...folders, 'scripts', ...documents.map((name) => name.slice(1, -1))]
}

test('the image is built from everything that the npm package is made of', () => {
  const copied = [...text('deploy/Dockerfile').matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, names]) =>
    (names ?? '').split(' '),
  )
  const allowed = text('.dockerignore').split('\n')
  expect(sources()).toEqual(expect.arrayContaining(['tsconfig.client.json', 'tsconfig.json', 'agent', 'README.md']))
  for (const source of sources()) {
    expect(copied, `deploy/Dockerfile copies ${source}`).toContain(source)
    expect(allowed, `.dockerignore lets ${source} in`).toContain(`!${source}`)
  }
})
