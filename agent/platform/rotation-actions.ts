import { spawn } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { AgentError, messageOf } from '../errors.js'
import { ioError } from './io-error.js'

/** An action after the files have changed. */
export type RotationAction =
  | { readonly kind: 'signal'; readonly pidFile: string; readonly signal: NodeJS.Signals }
  | { readonly kind: 'reload'; readonly unit: string }
  | { readonly kind: 'run'; readonly command: string }
  | { readonly kind: 'post'; readonly url: URL }

interface ActionContext {
  /** The environment of commands. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

const MAX_PID_FILE = 64
const TIMEOUT_MS = 60_000
const MAX_OUTPUT = 2_000

/** Performs the action within a minute. Throws `command.failed`, `file.io`. */
export async function perform(action: RotationAction, surroundings: ActionContext): Promise<void> {
  switch (action.kind) {
    case 'signal':
      return sendSignal(action.pidFile, action.signal)
    case 'reload':
      // The service manager performs the reload; `--` ends the options, whatever the unit's name.
      return await runToEnd(['systemctl', '--no-ask-password', 'reload', '--', action.unit], surroundings)
    case 'run':
      return await runToEnd(['/bin/sh', '-c', action.command], surroundings)
    case 'post':
      return await post(action.url, surroundings.signal)
  }
}

/** The action in words. */
export function actionText(action: RotationAction): string {
  switch (action.kind) {
    case 'signal':
      return `sending ${action.signal} to the process in ${action.pidFile}`
    case 'reload':
      return `systemctl reload ${action.unit}`
    case 'run':
      return `the command ${JSON.stringify(action.command.slice(0, 200))}`
    case 'post':
      return `POST ${action.url.origin}${action.url.pathname}`
  }
}

function sendSignal(pidFile: string, signal: NodeJS.Signals): void {
  const pid = readPid(pidFile)
  try {
    process.kill(pid, signal)
  } catch (cause) {
    throw new AgentError(
      'command.failed',
      `${signal} could not be sent to process ${pid} of ${pidFile}: ${messageOf(cause)}`,
      {
        cause,
      },
    )
  }
}

function readPid(path: string): number {
  let text: string
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const buffer = Buffer.alloc(MAX_PID_FILE)
      if (!fstatSync(fd).isFile())
        throw new AgentError('command.failed', `${path} is not a file with the id of a process`)
      text = buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0)).trim()
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw ioError('read', path, error)
  }
  // For kill(2), 0 and negative numbers mean process groups.
  const [line = ''] = text.split('\n')
  const pid = /^\d{1,9}$/.test(line) ? Number(line) : 0
  if (pid > 0) return pid
  throw new AgentError('command.failed', `${path} does not hold the id of a process`)
}

/** Runs a program to its end, in a process group of its own, so that all its processes can be ended. */
function runToEnd([file = '', ...args]: readonly string[], { env, signal }: ActionContext): Promise<void> {
  const what = [file, ...args].join(' ').slice(0, 200)
  return new Promise((resolve, reject) => {
    const fail = (text: string, cause?: unknown) =>
      reject(new AgentError('command.failed', `${what}: ${text}`, { cause }))
    const child = spawn(file, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output = `${output}${chunk.toString('utf8')}`.slice(-MAX_OUTPUT)
      })
    }
    const end = () => endGroup(child.pid)
    const timer = setTimeout(end, TIMEOUT_MS)
    signal.addEventListener('abort', end, { once: true })
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
    }
    child.on('error', (error) => {
      settle()
      fail(`cannot be run (${messageOf(error)})`, error)
    })
    // Not `close`: a process that it started may keep its output open for ever.
    child.on('exit', (code, killed) => {
      settle()
      if (code === 0) return resolve()
      const said = output.trim() === '' ? '' : `: ${output.trim()}`
      fail(`${killed === null ? `exit code ${code}` : `ended by ${killed}`}${said}`)
    })
  })
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has just exited.
  }
}

function post(url: URL, signal: AbortSignal): Promise<void> {
  const send = url.protocol === 'https:' ? secureRequest : request
  const either = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  const what = `POST ${url.origin}${url.pathname}`
  return new Promise((resolve, reject) => {
    const fail = (text: string, cause?: unknown) =>
      reject(new AgentError('command.failed', `${what}: ${text}`, { cause }))
    const headers = { 'content-length': 0 }
    const call = send(url, { method: 'POST', agent: false, signal: either, headers }, (response) => {
      const { statusCode = 0 } = response
      response.destroy()
      if (statusCode >= 200 && statusCode < 300) resolve()
      else fail(`the answer is ${statusCode}`)
    })
    call.on('error', (error) => fail(messageOf(error), error))
    call.end()
  })
}
