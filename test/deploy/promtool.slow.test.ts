import { spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { TestCa } from '../fakes/ca.js'
import { temporaryDirectory } from '../support/agent.js'
import { ran } from '../support/helm.js'

const page = await readFile('docs/metrics.md', 'utf8')
const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = '']) => text)
const scrapes = blocks.filter((text) => text.includes('scrape_configs:'))
const without = spawnSync('promtool', ['--version']).status === 0 ? '' : ' (skipped: no promtool here)'

it.skipIf(without !== '')(`Prometheus takes what docs/metrics.md shows, and the rules it names${without}`, async () => {
  await using dir = await temporaryDirectory()
  const ca = await TestCa.create('prometheus', { notBefore: 0, notAfter: 4_000_000_000_000 })
  // Files of /etc/prometheus, which promtool looks for.
  await mkdir(join(dir.path, 'etc'))
  await writeFile(join(dir.path, 'etc', 'icp-agent-token'), 'token')
  await writeFile(join(dir.path, 'etc', 'icp-agent-ca.pem'), ca.pem)
  await writeFile(join(dir.path, 'alerts.yaml'), await readFile('deploy/monitoring/alerts.yaml'))
  expect(scrapes).toHaveLength(2)
  for (const [i, text] of scrapes.entries()) {
    const path = join(dir.path, `${i}.yml`)
    await writeFile(path, stringify(parse(text.replaceAll('/etc/prometheus/', `${join(dir.path, 'etc')}/`))))
    const { code, stdout, stderr } = await ran('promtool', ['check', 'config', path])
    expect(`${stdout}${stderr}`).toContain('is valid prometheus config file syntax')
    expect(code).toBe(0)
    if (text.includes('rule_files')) expect(stdout).toMatch(/\b11 rules found/)
  }
})
