import { close } from 'node:fs'
import { type Logger, pino } from 'pino'
import type { Fields, Level, Log } from '../observability/log.js'
import { terminalSafe } from '../observability/printable.js'
import { consoleLine } from './console-format.js'
import { LineSink } from './line-sink.js'
import { openLogFile } from './log-file.js'
import { boundedText, loggable } from './log-value.js'
import { RecentLines } from './recent-lines.js'

export type LogLevel = 'debug' | 'info' | 'warning' | 'error'

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'console'
  /** A second sink; a missing directory is created. */
  readonly filePath?: string | null
  /** A file descriptor (default 1), or an object that takes the lines. */
  readonly stdout?: number | { write(line: string): unknown }
}

/** The agent's log: always to stdout, and to a file if one is configured. */
export interface AgentLog extends Log, LogControls {}

/** The same for any text, for tests of the sink. */
export interface UntypedLog extends LogControls {
  debug(event: string, fields?: Fields): void
  info(event: string, fields?: Fields): void
  warn(event: string, fields?: Fields): void
  error(event: string, fields?: Fields): void
  at(level: Level, event: string, fields?: Fields): void
  named(logger: string): Omit<UntypedLog, keyof LogControls>
}

/** Accepts lines of other parts, between those of the log. */
export type LineTaker = Pick<LineSink, 'write' | 'waiting' | 'failure' | 'retry'>

interface LogControls extends Disposable {
  /** Standard output. */
  readonly stdout: LineTaker
  /** Reopens the file after it was rotated. If that fails, the old file stays in use. */
  reopen(): void
  /** Writes all waiting lines synchronously. Also done when the process exits. */
  flush(): void
  /** Number of threads that are writing, or hang while writing; also after the end. */
  readonly writing: number
  /** The last 256 KiB of lines, as JSON whatever the format. */
  readonly recent: Pick<RecentLines, 'lines' | 'dropped'>
  setLevel(level: LogLevel): void
  /**
   * Prepares another format or file, which is opened now and used from `commit` on. Null if neither changes. Throws
   * `file.unsafe` or `file.io` if the file cannot be opened.
   */
  prepare(next: Pick<LogOptions, 'format' | 'filePath'>): (Disposable & { commit(): void }) | null
}

const RECENT_BYTES = 256 * 1024
const RANK = { debug: 0, info: 1, warning: 2, error: 3 } as const satisfies Record<LogLevel, number>
const METHOD_RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const satisfies Record<Level, number>

/**
 * Creates the log. One JSON object per line: `level`, `severity`, `timestamp` (UTC), `app`, `logger`, the fields, `event`;
 * or a line for people with `format: 'console'`. Values are bounded and free of secrets (log-value.ts).
 * Never throws and never blocks: a file that cannot be opened or written to is reported on stdout.
 */
export const createLog: (options: LogOptions) => AgentLog = createUntypedLog

export function createUntypedLog(options: LogOptions): UntypedLog {
  let threshold: number = RANK[options.level]
  /** All sinks that may still hold lines, including rotated files. */
  const sinks = new Set<LineSink>()
  const flush = (): void => {
    for (const sink of sinks) sink.flush()
  }
  const end = (sink: LineSink, fd: number, after?: () => void): void =>
    sink.end(() => {
      sinks.delete(sink)
      if (fd > 2) close(fd)
      after?.()
      if (sinks.size === 0) process.off('exit', flush)
    })

  const stdout =
    typeof options.stdout === 'object' ? options.stdout : new LineSink(options.stdout ?? 1, { onRecovery: missed })
  if (stdout instanceof LineSink) sinks.add(stdout)
  let file: OpenFile | null = null
  const recent = new RecentLines(RECENT_BYTES)
  let { format, filePath } = options

  const root = pino(
    {
      level: 'debug',
      base: { app: 'icp-agent' },
      messageKey: 'event',
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: {
        level(label) {
          const level = label === 'warn' ? 'warning' : label
          return { level, severity: level.toUpperCase() }
        },
      },
    },
    {
      write(json: string) {
        const plain = terminalSafe(json)
        recent.add(plain)
        const line = format === 'console' ? consoleLine(plain) : plain
        stdout.write(line)
        file?.sink.write(line)
      },
    },
  )

  const named = (logger: string) => logOf(root.child({ logger }))
  const logOf = (logger: Logger): Omit<UntypedLog, keyof LogControls> => {
    const at = (level: Level, event: string, fields: Fields = {}): void => {
      if (METHOD_RANK[level] < threshold) return
      logger[level](loggable(fields, { stacks: threshold === RANK.debug }), boundedText(event))
    }
    return {
      debug: (event, fields) => at('debug', event, fields),
      info: (event, fields) => at('info', event, fields),
      warn: (event, fields) => at('warn', event, fields),
      error: (event, fields) => at('error', event, fields),
      at,
      named,
    }
  }
  const own: Log = named('agent.log')
  function missed(dropped: number): void {
    if (dropped > 0) own.warn('Log lines were dropped: the reader of stdout was too slow', { dropped_lines: dropped })
  }

  function open(): void {
    const path = filePath
    if (path === undefined || path === null || path === '') return
    try {
      use(path, openLogFile(path))
    } catch (error) {
      if (file) own.error('Log file cannot be reopened; still writing to the old one', { path, error })
      else own.error('Log file cannot be opened; lines go to stdout only', { path, error })
    }
  }
  /** Writes to this file from now on, or to none. */
  function use(path: string | null, fd: number | null): void {
    const old = file
    file = null
    let release = () => {}
    if (path !== null && fd !== null) {
      // Keys and DNS share four threads with writes: a log on a hanging disk must use only one of them, however often it is
      // reopened.
      const sink = new LineSink(fd, {
        held: old !== null,
        onFailure: (error) => own.error('Log file cannot be written; lines go to stdout only', { path, error }),
        onRecovery: (dropped) => own.info('Log file can be written again', { path, dropped_lines: dropped }),
      })
      sinks.add(sink)
      file = { fd, sink }
      release = () => sink.release()
    }
    if (old) end(old.sink, old.fd, release)
  }
  open()
  process.on('exit', flush)

  return {
    ...named('agent'),
    stdout: stdout instanceof LineSink ? stdout : taker(stdout),
    reopen: open,
    flush,
    recent,
    get writing() {
      return [...sinks].filter((sink) => sink.writing).length
    },
    setLevel(level) {
      threshold = RANK[level]
    },
    prepare(next) {
      const path = next.filePath || null
      const moves = path !== (filePath || null)
      if (!moves && next.format === format) return null
      let fd = moves && path !== null ? openLogFile(path) : null
      return {
        commit() {
          format = next.format
          if (!moves) return
          filePath = path
          use(path, fd)
          fd = null
        },
        [Symbol.dispose]() {
          if (fd !== null) close(fd)
          fd = null
        },
      }
    },
    [Symbol.dispose]() {
      if (sinks.size === 0) process.off('exit', flush)
      if (stdout instanceof LineSink) end(stdout, 1)
      if (file) end(file.sink, file.fd)
    },
  }
}

interface OpenFile {
  readonly fd: number
  readonly sink: LineSink
}

function taker(to: { write(line: string): unknown }): LineTaker {
  const write = (line: string) => {
    to.write(line)
    return true
  }
  return { write, waiting: 0, failure: null, retry() {} }
}
