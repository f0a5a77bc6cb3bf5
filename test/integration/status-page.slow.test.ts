import { request } from 'node:http'
import { expect, test, vi } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { Browser, CHROMIUM } from '../support/browser.js'
import { icpAgent } from '../support/terminal.js'
import { eventually, until } from '../support/until.js'
import { fetchOnce, served, svidStream, uid } from './resilience/support.js'

vi.setConfig({ testTimeout: 300_000 })

/** The command in this process, until disposed. */
async function statusPage(dataDir: string) {
  const stop = new AbortController()
  let printed = ''
  const running = icpAgent(['status', '--serve', '--admin-socket', `${dataDir}/admin.sock`], {
    signal: stop.signal,
    onStdout: (text) => {
      printed = text
    },
  })
  await Promise.race([until(() => printed.endsWith('\n')), running])
  return {
    url: printed.trim(),
    origin: new URL(printed.trim()).origin,
    async [Symbol.asyncDispose]() {
      stop.abort()
      expect((await running).code).toBe(0)
    },
  }
}

/** A request that is no browser's. */
function ask(
  url: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (piece) => {
        body += piece
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    asked.on('error', reject)
    asked.end()
  })
}

test('the page admits who brings the token first, and nobody else', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server })
  await using page = await statusPage(agent.dataDir)
  const { url, origin } = page
  expect(new URL(url).hostname).toBe('127.0.0.1')

  for (const path of ['/', '/events', '/script.js', '/denials/x', '/nothing', '/?token=wrong']) {
    const { status, body } = await ask(origin + path)
    expect([path, status]).toEqual([path, 403])
    expect(body).not.toContain('test-node')
  }
  expect((await ask(url, { headers: { host: 'evil.example' } })).status).toBe(421)
  const entered = await ask(url)
  expect(entered).toMatchObject({ status: 303, headers: { location: '/' } })
  const cookie = String(entered.headers['set-cookie'])
  expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/)
  expect((await ask(url)).status).toBe(403)

  const headers = { cookie: cookie.split(';')[0] ?? '' }
  const shown = await ask(`${origin}/`, { headers })
  expect(shown.status).toBe(200)
  expect(shown.body).toContain('test-node')
  expect(shown.headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
  expect(shown.headers['content-security-policy']).not.toContain('unsafe')
  expect((await ask(`${origin}/`, { headers: { ...headers, host: 'evil.example' } })).status).toBe(421)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    expect((await ask(`${origin}/`, { method, headers })).status).toBe(405)
  }
  expect((await ask(`${origin}/denials/x`, { headers })).status).toBe(404)
  expect((await ask(`${origin}/denials/%ff`, { headers })).status).toBe(400)
})

test.runIf(CHROMIUM)(
  'a browser shows the agent, follows it, filters, and needs neither mouse nor network',
  async () => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/other`, selectors: { 'unix:uid': '4000000' } })
    await using agent = await startAgent({ dir: dir.path, server })
    await served(agent.address)
    using stream = svidStream(agent.address)
    await stream.next()
    await using page = await statusPage(agent.dataDir)
    await using browser = await Browser.start(CHROMIUM ?? '')
    await browser.size(1280, 900)
    await browser.open(page.url)
    const text = (selector: string) =>
      browser.evaluate<string>(`document.querySelector('${selector}')?.innerText ?? ''`)
    // The token is not left in the address.
    expect(await browser.evaluate('location.href')).toBe(`${page.origin}/`)
    await eventually(
      () => text('#live'),
      (live) => live === 'Live',
    )
    expect(await text('#workloads')).toContain(`${TENANT}/web`)
    expect(await text('#entries')).toContain(`${TENANT}/other`)

    // What happens now comes by itself.
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/added`, selectors: { 'unix:uid': '4000001' } })
    await eventually(
      () => text('#entries'),
      (entries) => entries.includes(`${TENANT}/added`),
    )

    // "/" is the first filter; what is typed there is found, and the field keeps the focus.
    await browser.press('/')
    expect(await browser.evaluate('document.activeElement.name')).toBe('workloads')
    await browser.evaluate(`document.querySelector('input[name=entries]').focus()`)
    for (const letter of 'added') await browser.press(letter, letter)
    await eventually(
      () => text('#entries'),
      (entries) => entries.includes('1 of 3 rows match'),
    )
    expect(await text('#entries')).not.toContain(`${TENANT}/other`)
    expect(await browser.evaluate('document.activeElement.name')).toBe('entries')
    expect(await browser.evaluate('location.search')).toBe('?entries=added')

    // The first Tab of the page is the way past the navigation.
    await browser.open(`${page.origin}/`)
    await browser.press('Tab')
    expect(await browser.evaluate('document.activeElement.textContent')).toBe('Skip to content')

    // Every table has a caption and column headers, every field a name, every id is there once.
    const faults = await browser.evaluate<string[]>(`[
    ...[...document.querySelectorAll('table')].filter((table) => !table.caption || !table.querySelector('th[scope=col]')).map(() => 'table'),
    ...[...document.querySelectorAll('input, select')].filter((field) => !field.labels?.[0]?.textContent.trim()).map(({ name }) => name),
    ...[...document.querySelectorAll('[id]')].filter(({ id }) => document.querySelectorAll('#' + CSS.escape(id)).length > 1).map(({ id }) => id),
    ...[...document.querySelectorAll('[style], script:not([src]), style, [onclick]')].map(({ tagName }) => tagName),
  ]`)
    expect(faults).toEqual([])
    expect(await browser.evaluate('document.querySelector("#announce").getAttribute("aria-live")')).toBe('polite')

    // Nothing is wider than a phone, in neither scheme, and the schemes differ.
    await browser.size(390, 844)
    const grounds = new Set<string>()
    for (const scheme of ['light', 'dark'] as const) {
      await browser.scheme(scheme)
      expect(await browser.evaluate('document.documentElement.scrollWidth')).toBe(390)
      grounds.add(await browser.evaluate('getComputedStyle(document.body).backgroundColor'))
    }
    expect(grounds.size).toBe(2)
    expect((await browser.screenshot()).subarray(1, 4).toString()).toBe('PNG')

    // Without JavaScript the same is there, and the filter is a form.
    await browser.send('Emulation.setScriptExecutionDisabled', { value: true })
    await browser.open(`${page.origin}/?entries=added`)
    expect(await text('#entries')).toContain('1 of 3 rows match')
    expect(await browser.evaluate(`document.querySelector('#entries button').checkVisibility()`)).toBe(true)

    expect(browser.errors).toEqual([])
    const hosts = new Set(browser.requests.filter((url) => url !== 'about:blank').map((url) => new URL(url).origin))
    expect([...hosts]).toEqual([page.origin])
  },
)

test.runIf(CHROMIUM)('a denial is shown with its explanation, and an agent that goes is said', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/other`, selectors: { 'unix:uid': '4000000' } })
  const agent = await startAgent({ dir: dir.path, server, settings: { WORKLOAD_API__HOLD: '1s' } })
  await agent.logged('Agent startup completed successfully')
  await expect(fetchOnce(agent.address)).rejects.toThrow()
  await using page = await statusPage(agent.dataDir)
  await using browser = await Browser.start(CHROMIUM ?? '')
  await browser.open(page.url)
  const link = await browser.evaluate<string>(`document.querySelector('#denials a[href^="/denials/"]').href`)
  await browser.open(link)
  const shown = await browser.evaluate<string>('document.body.innerText')
  expect(shown).toContain(`spiffe://${TENANT}/other`)
  expect(shown).toContain('4000000')
  await browser.open(`${page.origin}/`)
  await agent.stop()
  const banner = () => browser.evaluate<string>('document.querySelector(".banner")?.innerText ?? ""')
  await eventually(banner, (text) => text.includes('The agent does not answer'))
  // What was known stays.
  expect(await browser.evaluate<string>('document.body.innerText')).toContain(`${TENANT}/other`)
})
