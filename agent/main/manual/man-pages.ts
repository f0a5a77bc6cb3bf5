import { SETTING_KEYS, SETTINGS } from '../../config/schema.js'
import { typeOf } from '../../config/setting.js'
import type { ListedCommand } from '../command-table.js'
import { type HelpPart, readHelp, type ShownOption } from './help-text.js'

const SITE = 'https://github.com/authsec-ai/icp-agent'

/** Every man page, by its file name: icp-agent(1), one for each command, and icp-agent.yaml(5). */
export async function manPages(
  commands: readonly ListedCommand[],
  version: string,
): Promise<ReadonlyMap<string, string>> {
  const pages = new Map([
    ['icp-agent.1', overviewPage(commands, version)],
    ['icp-agent.yaml.5', settingsPage(version)],
  ])
  for (const { name, summary, load } of commands) {
    pages.set(`${pageOf(name)}.1`, commandPage(name, summary, (await load()).help, version))
  }
  return pages
}

function overviewPage(commands: readonly ListedCommand[], version: string): string {
  return page('icp-agent', 1, version, 'gives every process on this machine a SPIFFE identity', [
    section('SYNOPSIS', '.B icp-agent\n[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR]'),
    section(
      'DESCRIPTION',
      roff(
        'One daemon a node. It serves the SPIFFE Workload API on a Unix socket, attests each process that asks by what the kernel and the platforms say of it, and has its SVIDs issued by an ICP server. Without a command it runs the agent.',
      ),
    ),
    section('COMMANDS', commands.map(({ name, summary }) => tagged(reference(name), roff(summary))).join('\n')),
    section(
      'FILES',
      [
        tagged('\\fI/etc/icp-agent/config.yaml\\fR', `The configuration, \\fBicp\\-agent.yaml\\fR(5).`),
        tagged('\\fI/etc/icp-agent/agent.env\\fR', roff('Variables of the service; each wins over the configuration.')),
        tagged('\\fI/run/spire/sockets/agent.sock\\fR', roff('The socket of the Workload API.')),
        tagged('\\fI/var/lib/icp-agent\\fR', roff('Key and certificate of the node, and the sealed SVIDs.')),
      ].join('\n'),
    ),
    section(
      'ENVIRONMENT',
      [
        tagged('\\fBSPIFFE_ENDPOINT_SOCKET\\fR', roff('The socket that the api commands, files and exec ask.')),
        tagged(
          '\\fBICP_AGENT_\\fISECTION\\fB__\\fISETTING\\fR',
          roff('Any setting: ICP_AGENT_AGENT__TENANT_ID is agent.tenant_id.'),
        ),
      ].join('\n'),
    ),
    section('EXIT STATUS', roff('0 done, 1 failed, 2 the command line or the configuration cannot be used.')),
    seeAlso(['icp\\-agent.yaml(5)']),
  ])
}

function commandPage(name: string, summary: string, help: string, version: string): string {
  const { usage, parts, exitCodes, examples } = readHelp(help)
  const firstOptions = parts.findIndex(({ kind }) => kind === 'options')
  const described = firstOptions === -1 ? parts : parts.slice(0, firstOptions)
  const rest = firstOptions === -1 ? [] : parts.slice(firstOptions)
  return page(pageOf(name), 1, version, summary.replace(/\.$/, ''), [
    section('SYNOPSIS', usage.map((line) => `.B icp-agent\n${roff(line)}`).join('\n.br\n')),
    ...(described.length > 0 ? [section('DESCRIPTION', described.map(part).join('\n.PP\n'))] : []),
    ...(rest.length > 0 ? [section('OPTIONS', rest.map(part).join('\n.PP\n'))] : []),
    ...(exitCodes === '' ? [] : [section('EXIT STATUS', roff(exitCodes))]),
    ...(examples.length > 0 ? [section('EXAMPLES', literal(examples))] : []),
    seeAlso(['icp\\-agent(1)', 'icp\\-agent.yaml(5)']),
  ])
}

function settingsPage(version: string): string {
  const settings = SETTING_KEYS.map((key) => {
    const setting = SETTINGS[key]
    const terms = `${typeOf(setting)}; default: ${setting.default ?? setting.defaultIs}`
    const variable = `ICP_AGENT_${key.toUpperCase().replaceAll('.', '__')}`
    return tagged(
      `\\fB${escaped(key)}\\fR`,
      `${roff(plain(setting.what))}\n.br\n${roff(plain(terms))}\n.br\n${roff(variable)}`,
    )
  })
  return page('icp-agent.yaml', 5, version, 'the configuration of icp-agent', [
    section(
      'DESCRIPTION',
      `${roff(
        `YAML. Names with a dot are a section and a setting in it. What is not there has its default. \${NAME} and \${NAME:-DEFAULT} are taken from the environment. Each setting can come from a variable of its own, which is named below it and wins over the file.`,
      )}\n.PP\n\\fBicp\\-agent\\-validate\\fR(1) tells everything that is wrong with a file, and \\fBicp\\-agent\\-config\\fR(1) shows what is in force.`,
    ),
    section('SETTINGS', settings.join('\n')),
    section(
      'EXAMPLES',
      literal(['agent:', '  tenant_id: 11111111-2222-4333-8444-555555555555', 'logging:', '  level: info']),
    ),
    seeAlso(['icp\\-agent(1)']),
  ])
}

function page(name: string, number: number, version: string, what: string, sections: readonly string[]): string {
  const head = `.TH "${escaped(name.toUpperCase())}" ${number} "" "icp\\-agent ${escaped(version)}" "ICP Agent"`
  const quirks = '.nh\n.ad l'
  return `${head}\n${quirks}\n${section('NAME', `${escaped(name)} \\- ${escaped(what)}`)}\n${sections.join('\n')}\n`
}

function section(title: string, text: string): string {
  return `.SH ${title}\n${text}`
}

function seeAlso(pages: readonly string[]): string {
  const bold = pages.map((name) => name.replace(/^(.*)(\(\d\))$/, '\\fB$1\\fR$2'))
  return section('SEE ALSO', `${bold.join(', ')}\n.PP\n${escaped(SITE)}`)
}

function part(shown: HelpPart): string {
  if (shown.kind === 'prose') return roff(shown.text)
  return shown.kind === 'literal' ? literal(shown.lines) : shown.options.map(option).join('\n')
}

function option({ short, long, value, text }: ShownOption): string {
  const names = [...(short === null ? [] : [short]), long].map((name) => `\\fB${escaped(name)}\\fR`).join(', ')
  return tagged(`${names}${value === null ? '' : ` \\fI${escaped(value)}\\fR`}`, roff(text))
}

function tagged(tag: string, text: string): string {
  return `.TP\n${tag}\n${text}`
}

function literal(lines: readonly string[]): string {
  return `.nf\n${lines.map((line) => roff(line)).join('\n')}\n.fi`
}

/** `icp-agent-api-fetch-x509` */
function pageOf(name: string): string {
  return `icp-agent-${name.replaceAll(' ', '-')}`
}

function reference(name: string): string {
  return `\\fB${escaped(pageOf(name))}\\fR(1)`
}

/** Without the backticks and links of Markdown. */
function plain(text: string): string {
  return text.replaceAll('`', '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
}

/** Escapes the beginning of a line, where a dot or an apostrophe would be a request. */
function roff(text: string): string {
  return escaped(text).replace(/^(?=[.'])|^(?=\\\(aq)/, '\\&')
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
  '"': '\\(dq',
}

/** Replaces characters that groff would change or cannot read by its escapes. */
function escaped(text: string): string {
  return text
    .replace(/[\\'`^~"-]/g, (sign) => ESCAPES[sign] ?? sign)
    .replace(/[^\0-\x7e]/gu, (sign) => {
      const code = sign.codePointAt(0) ?? 0
      return `\\[u${code.toString(16).toUpperCase().padStart(4, '0')}]`
    })
}
