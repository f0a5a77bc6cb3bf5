import type { CommandWords, Offer, OfferedOption } from './command-words.js'
import { shortText } from './short-text.js'

/** The completion for fish. */
export function fishCompletion(commands: readonly CommandWords[]): string {
  const names = commands.flatMap(({ name }) => (name === '' ? [] : [quote(name)]))
  return `# fish completion for icp-agent, made by \`icp-agent completion fish\`.
function __icp_agent_at
    set -l known ${names.join(' ')}
    set -l words (commandline -opc)
    set -l at
    for word in $words[2..]
        contains -- (string join -- ' ' $at $word) $known; or break
        set -a at $word
    end
    test (string join ' ' x $at) = (string trim "x $argv[1]")
end
function __icp_agent_program
    set -l words (commandline -opc) (commandline -ct)
    set -l end (contains -i -- -- $words); or return
    complete -C (string join -- ' ' (string escape -- $words[(math $end + 1)..]))
end
complete -c icp-agent -f
${commands.flatMap(linesOf).join('\n')}
`
}

function linesOf({ name, next, options, alone }: CommandWords): readonly string[] {
  const begin = `complete -c icp-agent -n ${quote(`__icp_agent_at ${quote(name)}`)}`
  return [
    ...next.map(({ word, text }) => `${begin} -a ${quote(word)} -d ${quote(shortText(text))}`),
    ...options.map((option) => `${begin} ${optionWords(option)}`),
    ...aloneLines(alone).map((rest) => `${begin} ${rest}`),
  ]
}

function optionWords({ short, long, text, offer }: OfferedOption): string {
  const names = [...(short === null ? [] : [`-s ${short.slice(1)}`]), `-l ${long.slice(2)}`]
  return [...names, ...(offer ? [optionValue(offer)] : []), `-d ${quote(shortText(text))}`].join(' ')
}

function optionValue(offer: Offer): string {
  if (offer.kind === 'words') return `-x -a ${quote(offer.words.join(' '))}`
  if (offer.kind === 'files') return '-r -F'
  return offer.kind === 'directories' ? "-x -a '(__fish_complete_directories)'" : '-x'
}

function aloneLines(offer: Offer): readonly string[] {
  if (offer.kind === 'words') return [`-a ${quote(offer.words.join(' '))}`]
  if (offer.kind === 'command') return ["-a '(__icp_agent_program)'"]
  return offer.kind === 'files' ? ['-F'] : []
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
