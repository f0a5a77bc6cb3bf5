import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { AdminRoute } from '../../agent/admin/route.js'
import { ROUTES } from '../../agent/admin/route-table.js'

const DIRECTORY = 'docs/schemas'
const PREFIX = 'admin-v1.'
const SUFFIX = '.schema.json'
const BASE = 'https://raw.githubusercontent.com/authsec-ai/icp-agent/main/docs/schemas/'
const fileOf = (name: string) => `${PREFIX}${name}${SUFFIX}`

function schemaOf({ name, method, path, schema }: AdminRoute): string {
  // Of what comes in: a later agent of this version of the API may answer more.
  const { $schema, ...made } = z.toJSONSchema(schema, { io: 'input', reused: 'inline' })
  return `${JSON.stringify({ $schema, $id: BASE + fileOf(name), title: `Answer to ${method} ${path}`, ...made }, null, 2)}\n`
}

test.each(ROUTES)('docs/schemas has the schema of the answer to $method $path', (route) => {
  const path = `${DIRECTORY}/${fileOf(route.name)}`
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync(path, schemaOf(route))
  else expect(readFileSync(path, 'utf8'), 'run npm run docs').toBe(schemaOf(route))
})

test('docs/schemas has no schema of a route that there is not', () => {
  const wanted = new Set(ROUTES.map(({ name }) => fileOf(name)))
  const odd = readdirSync(DIRECTORY).filter((file) => file.startsWith(PREFIX) && !wanted.has(file))
  if (process.env['ICP_UPDATE_DOCS']) for (const file of odd) rmSync(`${DIRECTORY}/${file}`)
  else expect(odd).toEqual([])
})

test('docs/admin.md has the table of routes', () => {
  const table = [
    '| request | answer | schema |',
    '|---|---|---|',
    ...ROUTES.map(({ method, path, summary, name }) => {
      return `| \`${method} ${path}\` | ${summary} | [${name}](schemas/${fileOf(name)}) |`
    }),
  ].join('\n')
  const page = readFileSync('docs/admin.md', 'utf8')
  const made = page.replace(/(<!-- table: .*?-->\n)[\s\S]*?(<!-- end of table -->)/, `$1\n${table}\n\n$2`)
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync('docs/admin.md', made)
  else expect(page, 'run npm run docs').toBe(made)
})
