import type { AdminClient } from '../../admin/client.js'
import { AgentError } from '../../errors.js'
import { aborted } from '../../lib/abort.js'
import { isLoopbackHost } from '../../observability/loopback.js'
import {
  type LoopbackAnswer,
  type LoopbackClient,
  type LoopbackRequest,
  serveOnLoopback,
} from '../../platform/loopback-http.js'
import type { Clock } from '../../ports/clock.js'
import { PageAccess } from './access.js'
import type { PageAddress } from './address.js'
import { AgentReader } from './agent-reader.js'
import { denialPage, messagePage, type PageContent, sectionsOf, statusPage, toldOf } from './document.js'
import { type Html, html } from './html.js'
import { SCRIPT } from './script.js'
import { ICON, STYLE } from './style.js'
import { type PageView, viewOf } from './view.js'

/** Limit of open event streams. */
const MAX_STREAMS = 12

const SECURE = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const

/** Serves the page until the signal. `opened` receives the address to open, which is valid for one browser. */
export async function servePage(
  options: { readonly client: Pick<AdminClient, 'get' | 'list'>; readonly clock: Clock; readonly at: PageAddress },
  opened: (address: string, port: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { client, clock, at } = options
  const reader = new AgentReader(client, clock)
  // Fails before serving if the agent cannot be reached.
  await reader.fresh(signal)
  if (reader.trouble) throw new AgentError(reader.trouble.code, reader.trouble.message)
  const page = new StatusPage(reader, signal)
  await using server = await serveOnLoopback({ ...at, option: '--serve', answer: (request) => page.answer(request) })
  page.port = server.port
  const host = at.address.includes(':') ? `[${at.address}]` : at.address
  opened(`http://${host}:${server.port}/?token=${page.access.token}`, server.port)
  await Promise.race([reader.run(signal), aborted(signal)]).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}

/** The answer to each request. */
export class StatusPage {
  readonly access = new PageAccess()
  port = 0
  #streams = 0

  constructor(
    private readonly reader: AgentReader,
    private readonly signal: AbortSignal,
  ) {}

  async answer({ method, target, host, cookie }: LoopbackRequest): Promise<LoopbackAnswer> {
    // A foreign page whose name resolves to 127.0.0.1 (DNS rebinding) sends its own name as host.
    if (host === undefined || !isLoopbackHost(host)) return plain(421, 'The Host header must be of this machine.')
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'Nothing can be changed here.', { allow: 'GET, HEAD' })
    if (!target.startsWith('/') || !URL.canParse(target, 'http://page')) return plain(400, 'Not a valid path.')
    const { pathname, searchParams } = new URL(target, 'http://page')
    const known = this.access.admits(cookie, this.port)
    const token = searchParams.get('token')
    if (pathname === '/' && token !== null) return this.#enter(token, known)
    if (pathname === '/style.css') return typed('text/css; charset=utf-8', STYLE)
    if (!known) return NOT_ADMITTED
    return await this.#admitted(pathname, searchParams)
  }

  #enter(token: string, known: boolean): LoopbackAnswer {
    const cookie = this.access.exchange(token, this.port)
    if (cookie === null && !known) return NOT_ADMITTED
    const headers = { ...SECURE, location: '/', ...(cookie === null ? {} : { 'set-cookie': cookie }) }
    return { status: 303, headers, body: '' }
  }

  async #admitted(path: string, query: URLSearchParams): Promise<LoopbackAnswer> {
    if (path === '/script.js') return typed('text/javascript; charset=utf-8', SCRIPT)
    if (path === '/icon.svg') return typed('image/svg+xml', ICON)
    if (path === '/events') return this.#events(viewOf(query))
    await this.reader.fresh(this.signal)
    if (path === '/') return page(statusPage(this.#content(), viewOf(query)))
    const denial = /^\/denials\/([^/]{1,200})$/.exec(path)?.[1]
    if (denial !== undefined) return await this.#denial(denial)
    return page(messagePage(this.#content(), 'There is no such page', 'The address is wrong.'), 404)
  }

  async #denial(id: string): Promise<LoopbackAnswer> {
    try {
      const denial = await this.reader.denial(decodeURIComponent(id), this.signal)
      return page(denialPage(this.#content(), denial))
    } catch (error) {
      if (error instanceof URIError) return plain(400, 'Not a valid path.')
      if (!(error instanceof AgentError)) throw error
      const status = error.code === 'admin.not_found' ? 404 : 502
      return page(
        messagePage(this.#content(), 'The denial cannot be shown', `${error.message} (${error.code})`),
        status,
      )
    }
  }

  #events(view: PageView): LoopbackAnswer {
    if (this.#streams >= MAX_STREAMS) return plain(503, 'Too many windows are open.')
    const headers = { ...SECURE, 'content-type': 'text/event-stream' }
    return { status: 200, headers, body: 'retry: 2000\n\n', goOn: (client) => this.#tell(client, view) }
  }

  #tell(client: LoopbackClient, view: PageView): Disposable {
    const sent = new Map<string, string>()
    const send = (event: string, id: string, version: string, data: unknown) => {
      if (sent.get(id) === version) return
      if (client.send(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)) sent.set(id, version)
    }
    const tell = () => {
      const content = this.#content()
      for (const { id, version, html } of sectionsOf(content, view)) {
        send('section', id, version, { id, version, html: html.text })
      }
      const told = toldOf(content)
      send('told', 'told', told, told)
    }
    this.#streams++
    const watch = this.reader.watch(tell)
    tell()
    return {
      [Symbol.dispose]: () => {
        this.#streams--
        watch[Symbol.dispose]()
      },
    }
  }

  #content(): PageContent {
    const { look, trouble } = this.reader
    return { look, trouble, now: this.reader.now() }
  }
}

function page(content: Html, status = 200): LoopbackAnswer {
  return { status, headers: { ...SECURE, 'content-type': 'text/html; charset=utf-8' }, body: content.text }
}

function typed(type: string, body: string): LoopbackAnswer {
  return { status: 200, headers: { ...SECURE, 'content-type': type }, body }
}

function plain(status: number, body: string, headers: Readonly<Record<string, string>> = {}): LoopbackAnswer {
  return { status, headers: { ...SECURE, 'content-type': 'text/plain; charset=utf-8', ...headers }, body: `${body}\n` }
}

const NOT_ADMITTED = page(
  html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Not admitted - icp-agent</title><link rel="stylesheet" href="/style.css"></head>
<body><main><section class="block"><h1>This browser is not admitted</h1><p>The address that <span class="mono">icp-agent status --serve</span> prints works once, in the browser that opens it first. Run the command again for another one.</p></section></main></body></html>`,
  403,
)
