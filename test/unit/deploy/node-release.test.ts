import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { pinnedNode } from '../../support/pinned-node.js'

const { version } = pinnedNode()
const [major] = version.split('.')

it.each(['deploy/Dockerfile', 'docker-compose.yml', '.env.example'])(
  'the image that %s builds on has the line of Node that is handed out',
  (path) => {
    const lines = [...readFileSync(path, 'utf8').matchAll(/\bnode:(\d+)/g)].map(([, line]) => line)
    expect(new Set(lines)).toEqual(new Set([major]))
  },
)

it('nvm takes the same line of Node', () => {
  expect(readFileSync('.nvmrc', 'utf8').trim()).toBe(major)
})

it('no other file names the release that is handed out', () => {
  for (const path of ['.ci/run', 'deploy/Dockerfile', 'docker-compose.yml', '.env.example', 'package.json']) {
    expect(readFileSync(path, 'utf8'), path).not.toContain(version)
  }
})

it('what is bundled runs on the oldest Node that package.json allows', () => {
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8'))
  expect(readFileSync('scripts/package/bundle.mjs', 'utf8')).toContain(
    `target: 'node${/^>=(\d+)\./.exec(engines.node)?.[1]}'`,
  )
})
