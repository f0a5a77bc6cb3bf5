import type { CommandWords, Offer, OfferedOption } from './command-words.js'
import { shortText } from './short-text.js'

/** The completion for zsh: as a file `_icp-agent` of fpath, or sourced. */
export function zshCompletion(commands: readonly CommandWords[]): string {
  const names = commands.flatMap(({ name }) => (name === '' ? [] : [quote(name)]))
  return `#compdef icp-agent
# zsh completion for icp-agent, made by \`icp-agent completion zsh\`.
_icp-agent() {
  local at= word rest=
  local -a known next specs
  local -i i
  known=(${names.join(' ')})
  for ((i = 2; i < CURRENT; i++)); do
    word="\${at:+$at }\${words[i]}"
    (( \${known[(Ie)$word]} )) || break
    at=$word
  done
  case $at in
${commands.map(commandCase).join('\n')}
  esac
  if (( $#next && i == CURRENT )) && [[ $PREFIX != -* ]]; then
    _describe -t commands command next && return
  fi
  if [[ $rest == command ]] && (( words[(i)--] < CURRENT )); then
    i=\${words[(i)--]}
    words=("\${(@)words[i+1,-1]}")
    (( CURRENT -= i ))
    _normal
    return
  fi
  words=("icp-agent" "\${(@)words[i,-1]}")
  (( CURRENT -= i - 2 ))
  _arguments -s -S -A '' : $specs
}
(( ! $+functions[compdef] )) || compdef _icp-agent icp-agent
[[ \${funcstack[1]-} != _icp-agent ]] || _icp-agent "$@"
`
}

function commandCase({ name, next, options, alone }: CommandWords): string {
  const words = next.map(({ word, text }) => quote(`${word}:${shortText(text)}`))
  const specs = [...options.map(optionSpec), ...aloneSpec(alone)]
  return `    (${quote(name)})
      rest=${alone.kind}
      next=(${words.join(' ')})
      specs=(${specs.join(' ')})
      ;;`
}

function optionSpec({ short, long, value, text, offer }: OfferedOption): string {
  const names = short === null ? [long] : [short, long]
  const rest = `[${bracketed(shortText(text))}]${offer ? `:${colons(value ?? '')}:${action(offer)}` : ''}`
  return names.map((name) => quote(`*${name}${offer && name.startsWith('--') ? '=' : ''}${rest}`)).join(' ')
}

function aloneSpec(offer: Offer): readonly string[] {
  return offer.kind === 'words' || offer.kind === 'files' ? [quote(`*:what:${action(offer)}`)] : []
}

function action(offer: Offer): string {
  if (offer.kind === 'words') return `(${offer.words.join(' ')})`
  if (offer.kind === 'files') return '_files'
  return offer.kind === 'directories' ? '_files -/' : ' '
}

function bracketed(text: string): string {
  return colons(text.replace(/[[\]]/g, '\\$&'))
}

function colons(text: string): string {
  return text.replaceAll(':', '\\:')
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
