import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { WebSocket } from 'undici'
import { until } from './until.js'

/** Where distributions put a Chromium; the first that is there. */
export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)

type Params = Readonly<Record<string, unknown>>
type Answer = Readonly<Record<string, unknown>>

/** A headless Chromium with one window, told what to do by the DevTools protocol. */
export class Browser implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #socket: WebSocket
  readonly #profile: string
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>()
  #number = 0
  #session: string | null = null
  /** Errors of the page: exceptions, and what its policy refused. */
  readonly errors: string[] = []
  /** What was asked for, in whatever way. */
  readonly requests: string[] = []

  private constructor(process: ChildProcess, socket: WebSocket, profile: string) {
    this.#process = process
    this.#socket = socket
    this.#profile = profile
    socket.addEventListener('message', ({ data }) => this.#hear(JSON.parse(String(data))))
  }

  static async start(path: string): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), 'icp-browser-'))
    const args = [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--hide-scrollbars',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      'about:blank',
    ]
    const child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const address = await new Promise<string>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}`)))
      createInterface(child.stderr).on('line', (line) => {
        const found = /DevTools listening on (ws:\S+)/.exec(line)?.[1]
        if (found !== undefined) resolve(found)
      })
    })
    const socket = new WebSocket(address)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', () => reject(new Error('no connection to Chromium')))
    })
    const browser = new Browser(child, socket, profile)
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true })
    browser.#session = String(sessionId)
    for (const domain of ['Page', 'Runtime', 'Network', 'Log', 'Accessibility']) await browser.send(`${domain}.enable`)
    return browser
  }

  send(method: string, params: Params = {}): Promise<Answer> {
    const id = ++this.#number
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      const session = this.#session === null ? {} : { sessionId: this.#session }
      this.#socket.send(JSON.stringify({ id, method, params, ...session }))
    })
  }

  /** Opens an address, and waits until the page is there. */
  async open(url: string): Promise<void> {
    await this.send('Page.navigate', { url })
    await until(async () => {
      const state = await this.evaluate<string>('document.readyState + location.href')
      return state.startsWith('complete') && !state.endsWith('about:blank')
    })
  }

  /** The value of an expression in the page; a promise is awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const params = { expression, returnByValue: true, awaitPromise: true }
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', params)
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
    return Reflect.get(Object(result), 'value') as T
  }

  /** Sizes the window; a narrow one is a phone's. */
  async size(width: number, height: number): Promise<void> {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 })
  }

  async scheme(scheme: 'light' | 'dark'): Promise<void> {
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
  }

  async press(key: string, text = ''): Promise<void> {
    const params = { key, code: key, windowsVirtualKeyCode: KEYS[key] ?? 0, ...(text === '' ? {} : { text }) }
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...params })
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...params })
  }

  /** A PNG of the window, or of the whole page. */
  async screenshot(whole = false): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole })
    return Buffer.from(String(data), 'base64')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill('SIGKILL')
    this.#socket.close()
    await ended
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }

  #hear(message: {
    id?: number
    result?: Answer
    error?: { message: string }
    method?: string
    params?: Readonly<Record<string, unknown>>
  }): void {
    const { id, result, error, method, params = {} } = message
    if (id !== undefined) {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error) waiting?.reject(new Error(error.message))
      else waiting?.resolve(result ?? {})
    }
    if (method === 'Runtime.exceptionThrown') this.errors.push(JSON.stringify(params['exceptionDetails']))
    if (method === 'Log.entryAdded') {
      const entry = Object(params['entry'])
      if (entry.level === 'error') this.errors.push(`${entry.text} ${entry.url ?? ''}`)
    }
    if (method === 'Network.requestWillBeSent') this.requests.push(String(Object(params['request']).url))
  }
}

const KEYS: Readonly<Record<string, number>> = { Tab: 9, Enter: 13, ' ': 32 }
