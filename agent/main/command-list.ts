/** A subcommand as the list of commands shows it. */
export interface ListedCommand {
  /** `api fetch x509`: one word or several. */
  readonly name: string
  readonly summary: string
}

/** Every subcommand, in the order in which `icp-agent help` lists them. `run` is what happens where none is named. */
export const COMMAND_LIST = [
  { name: 'run', summary: 'Run the agent (this is what happens without a command).' },
  { name: 'validate', summary: 'Check a configuration and tell everything that is wrong with it.' },
  { name: 'healthcheck', summary: 'Tell whether the agent on this machine is ready.' },
  { name: 'api fetch x509', summary: 'Fetch the X.509-SVIDs of this process, and show or write them.' },
  { name: 'api fetch jwt', summary: 'Fetch JWT-SVIDs of this process for an audience, and show or write them.' },
  { name: 'api fetch bundles', summary: 'Fetch what this process may trust: X.509 and JWT bundles.' },
  { name: 'api watch x509', summary: 'Show the X.509-SVIDs of this process, and each change of them.' },
  { name: 'api watch bundles', summary: 'Show the bundles, and each change of them.' },
  { name: 'api validate jwt', summary: 'Have the agent judge a JWT-SVID.' },
  { name: 'dev-icp', summary: 'Run the embedded ICP server, for demos and tests.' },
  { name: 'dev-icp entry create', summary: 'Register a workload at the embedded ICP server.' },
  { name: 'dev-icp entry list', summary: 'List the registered workloads of the embedded ICP server.' },
  { name: 'dev-icp entry delete', summary: 'Remove a registered workload from the embedded ICP server.' },
  { name: 'version', summary: 'Print the version.' },
  { name: 'help', summary: 'List the commands, or explain one.' },
] as const satisfies readonly ListedCommand[]

export type CommandName = (typeof COMMAND_LIST)[number]['name']

/**
 * The command whose words the arguments begin with, the longest of several, and the arguments after them; null where
 * there is none.
 */
export function findCommand(
  args: readonly string[],
): { readonly name: CommandName; readonly rest: readonly string[] } | null {
  let found: { readonly name: CommandName; readonly rest: readonly string[] } | null = null
  for (const { name } of COMMAND_LIST) {
    const words = name.split(' ')
    const rest = args.slice(words.length)
    if (words.every((word, i) => args[i] === word) && (!found || rest.length < found.rest.length)) {
      found = { name, rest }
    }
  }
  return found
}

/** The commands of a group such as `api` or `api fetch`; none where the words begin no command. */
export function groupOf(words: readonly string[]): readonly ListedCommand[] {
  const prefix = `${words.join(' ')} `
  return COMMAND_LIST.filter(({ name }) => name.startsWith(prefix))
}
