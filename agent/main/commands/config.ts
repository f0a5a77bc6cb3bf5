import { configPath } from '../../config/config-path.js'
import { type EffectiveSettings, shownValue } from '../../config/effective.js'
import { loadConfig } from '../../config/load.js'
import { SETTING_KEYS } from '../../config/schema.js'
import { sourceText } from '../../config/tree.js'
import { Disk } from '../../platform/disk.js'
import { surroundings } from '../../platform/environment.js'
import { choice, readArguments } from '../arguments.js'
import type { Command } from '../command.js'
import { settingsDocument } from '../settings-document.js'
import { count } from '../terminal/count.js'
import { styleFor } from '../terminal/style.js'
import { table } from '../terminal/table.js'

const OPTIONS = { config: { type: 'string', short: 'c' }, output: { type: 'string', short: 'o' } } as const

/** Shows every setting in force, and its source. */
export const config: Command = {
  help: `Usage: icp-agent config [-c FILE] [-o pretty|json]

Shows every setting with the value that the agent would use, and where that comes from: a line of the
file, an environment variable, or the default. Secrets are shown as [redacted]. A running agent uses the
values that it read at its start or at its last reload.

Options:
  -c, --config FILE     the configuration; default: ./config.yaml, else /etc/icp-agent/config.yaml
  -o, --output FORMAT   pretty (default) or json

Exit codes: 0 shown; 2 the command line or the configuration is invalid.

Example:
  icp-agent config -c /etc/icp-agent/config.yaml
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const json = choice(options.output, ['pretty', 'json'], '--output') === 'json'
    const files = new Disk()
    const place = await configPath(options.config, files)
    const { settings, warnings } = await loadConfig({ ...place, ...surroundings(io.env), files })
    const { bold, dim } = styleFor(io.stdout, io.env)
    io.stdout.write(
      json
        ? `${JSON.stringify(settingsDocument(settings), null, 2)}\n`
        : table(
            [{ title: 'SETTING', paint: bold }, { title: 'VALUE' }, { title: 'FROM', paint: dim }],
            rowsOf(settings),
            0,
          ),
    )
    if (warnings.length > 0)
      io.stderr.write(`${count(warnings.length, 'warning')}; \`icp-agent validate\` shows them\n`)
    return 0
  },
}

function rowsOf(settings: EffectiveSettings): readonly (readonly string[])[] {
  return SETTING_KEYS.map((key) => {
    const { value, source } = settings[key]
    const shown = shownValue(key, value)
    return [key, typeof shown === 'object' ? (shown ?? []).join(', ') || '-' : String(shown) || '-', sourceText(source)]
  })
}
