import type { CommandWords, Offer } from './command-words.js'

/** The completion for bash 4.4 and newer; does not need the package bash-completion. */
export function bashCompletion(commands: readonly CommandWords[]): string {
  return `# bash completion for icp-agent, made by \`icp-agent completion bash\`.
_icp_agent() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} at= i word next= options= alone= value=
  COMPREPLY=()
  # bash takes --output=json apart.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]] && ((COMP_CWORD > 2)); then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${at:+$at }\${COMP_WORDS[i]}
    case $word in
      ${alternatives(commands.flatMap(({ name }) => (name === '' ? [] : [name])))}) at=$word ;;
      *) break ;;
    esac
  done
  case $at in
${commands.map(commandCase).join('\n')}
  esac
  for (( ; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} != -- ]] || options= next=
    [[ \${COMP_WORDS[i]} != -- || $alone != command ]] || alone=command-line
  done
  case $at:$prev in
${commands.flatMap(valueCases).join('\n')}
  esac
  if [[ -n $value ]]; then
    _icp_agent_offer "$value"
  elif [[ $cur == -* && -n $options ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -n $next && $i == "$COMP_CWORD" ]]; then
    COMPREPLY=($(compgen -W "$next" -- "$cur"))
    [[ \${#COMPREPLY[@]} != 0 || -z $alone ]] || _icp_agent_offer "$alone"
  elif [[ -n $alone ]]; then
    _icp_agent_offer "$alone"
  fi
}
_icp_agent_offer() {
  case $1 in
    files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    directories) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    command-line) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -c -- "$cur"; compgen -f -- "$cur") ;;
    nothing | command) ;;
    *) COMPREPLY=($(compgen -W "$1" -- "$cur")) ;;
  esac
}
complete -F _icp_agent icp-agent
`
}

function commandCase({ name, next, options, alone }: CommandWords): string {
  const flags = options.map(({ long }) => long).join(' ')
  const words = next.map(({ word }) => word).join(' ')
  return `    '${name}') next='${words}' options='${flags}' alone='${offered(alone)}' ;;`
}

function valueCases({ name, options }: CommandWords): readonly string[] {
  return options.flatMap(({ short, long, offer }) => {
    if (!offer) return []
    const names = [long, ...(short === null ? [] : [short])].map((option) => `${name}:${option}`)
    return [`    ${alternatives(names)}) value='${offered(offer)}' ;;`]
  })
}

function offered(offer: Offer): string {
  return offer.kind === 'words' ? offer.words.join(' ') : offer.kind
}

function alternatives(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' | ')
}
