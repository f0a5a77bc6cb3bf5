import type { HelperConfig } from '../files/helper-config.js'
import type { RotationAction } from '../platform/rotation-actions.js'
import { misused, type OptionValues, quoted } from './arguments.js'
import { signalNamed } from './file-options.js'

/** The actions after a change of the files, in this order. */
export const ACTION_OPTIONS = {
  'pid-file': { type: 'string' },
  signal: { type: 'string' },
  reload: { type: 'string', several: true },
  run: { type: 'string', several: true },
  post: { type: 'string', several: true },
} as const

export const ACTION_OPTIONS_HELP = `  --pid-file FILE        send a signal to the process whose id is in this file
  --signal NAME          the signal for --pid-file; default HUP
  --reload UNIT          systemctl reload UNIT; may be repeated
  --run COMMAND          run a command line with /bin/sh; may be repeated
  --post URL             send an HTTP POST without a body; may be repeated`

const UNIT = /^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,254}$/

/** Throws `command.misused`. */
export function rotationActions(
  options: OptionValues<typeof ACTION_OPTIONS>,
  helper: HelperConfig | null,
): readonly RotationAction[] {
  const { signal = helper?.renewSignal ?? undefined, reload = [], run = [], post = [] } = options
  const pidFile = options['pid-file'] ?? helper?.pidFile ?? undefined
  if (options.signal !== undefined && pidFile === undefined) throw misused('--signal needs --pid-file')
  const signals = pidFile === undefined ? [] : [{ pidFile, signal: signalNamed(signal ?? 'HUP', '--signal') }]
  return [
    ...signals.map((one) => ({ kind: 'signal' as const, ...one })),
    ...reload.map((unit) => {
      if (!UNIT.test(unit)) throw misused(`--reload ${quoted(unit)} is not the name of a unit`)
      return { kind: 'reload' as const, unit }
    }),
    ...run.map((command) => ({ kind: 'run' as const, command })),
    ...post.map((url) => ({ kind: 'post' as const, url: postUrl(url) })),
  ]
}

function postUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw misused(`--post ${quoted(text)} is not an http or https URL`)
}
