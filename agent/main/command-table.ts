import type { Command } from './command.js'

/** A row of the table of commands. */
export interface ListedCommand {
  /** `api fetch x509`: one word or several. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Imports the command when it is run, so that the others need not load. */
  readonly load: () => Promise<Command>
}

/** Every subcommand, in the order of `icp-agent help`. `run` is the default. */
export const COMMANDS = [
  {
    name: 'run',
    summary: 'Run the agent (the default if no command is given).',
    load: async () => (await import('./commands/run.js')).run,
  },
  {
    name: 'validate',
    summary: 'Check a configuration and list every problem.',
    load: async () => (await import('./commands/validate.js')).validate,
  },
  {
    name: 'config',
    summary: 'Show every setting, its value and where it comes from.',
    load: async () => (await import('./commands/config.js')).config,
  },
  {
    name: 'config schema',
    summary: 'Print the JSON schema of the configuration file.',
    load: async () => (await import('./commands/config-schema.js')).printConfigSchema,
  },
  {
    name: 'status',
    summary: 'Show the state of the agent: health, workloads, entries, denials.',
    load: async () => (await import('./commands/status.js')).status,
  },
  {
    name: 'explain',
    summary: 'Explain what a process would get from the agent now, and why.',
    load: async () => (await import('./commands/explain.js')).explain,
  },
  {
    name: 'support-bundle',
    summary: 'Collect what support needs to know about this agent in one file, without secrets.',
    load: async () => (await import('./commands/support-bundle.js')).supportBundle,
  },
  {
    name: 'reload',
    summary: 'Make the agent read its configuration again.',
    load: async () => (await import('./commands/reload.js')).reload,
  },
  {
    name: 'log-level',
    summary: 'Show or set the log level of the agent.',
    load: async () => (await import('./commands/log-level.js')).logLevel,
  },
  {
    name: 'healthcheck',
    summary: 'Check whether the agent on this machine is ready.',
    load: async () => (await import('./commands/healthcheck.js')).healthcheck,
  },
  {
    name: 'api fetch x509',
    summary: 'Fetch the X.509-SVIDs of this process, and show them or write them to files.',
    load: async () => (await import('./commands/api-fetch-x509.js')).apiFetchX509,
  },
  {
    name: 'api fetch jwt',
    summary: 'Fetch JWT-SVIDs of this process for an audience, and show them or write them to files.',
    load: async () => (await import('./commands/api-fetch-jwt.js')).apiFetchJwt,
  },
  {
    name: 'api fetch bundles',
    summary: 'Fetch the X.509 and JWT bundles that this process may trust.',
    load: async () => (await import('./commands/api-fetch-bundles.js')).apiFetchBundles,
  },
  {
    name: 'api watch x509',
    summary: 'Show the X.509-SVIDs of this process, and each change.',
    load: async () => (await import('./commands/api-watch-x509.js')).apiWatchX509,
  },
  {
    name: 'api watch bundles',
    summary: 'Show the bundles that this process may trust, and each change.',
    load: async () => (await import('./commands/api-watch-bundles.js')).apiWatchBundles,
  },
  {
    name: 'api validate jwt',
    summary: 'Ask the agent whether a JWT-SVID is valid.',
    load: async () => (await import('./commands/api-validate-jwt.js')).apiValidateJwt,
  },
  {
    name: 'files',
    summary: 'Write the identity of this process to files, and renew them.',
    load: async () => (await import('./commands/files.js')).files,
  },
  {
    name: 'exec',
    summary: 'Run a program with its identity in files and in its environment.',
    load: async () => (await import('./commands/exec.js')).exec,
  },
  {
    name: 'publish-bundle',
    summary: 'Keep the trust bundle in a Kubernetes ConfigMap or ClusterTrustBundle.',
    load: async () => (await import('./commands/publish-bundle.js')).publishBundle,
  },
  {
    name: 'dev-icp',
    summary: 'Run the embedded ICP server, for demos and tests.',
    load: async () => (await import('./commands/dev-icp.js')).devIcp,
  },
  {
    name: 'dev-icp entry create',
    summary: 'Register a workload with the embedded ICP server.',
    load: async () => (await import('./commands/dev-icp-entry.js')).devIcpEntryCreate,
  },
  {
    name: 'dev-icp entry list',
    summary: 'List the registered workloads of the embedded ICP server.',
    load: async () => (await import('./commands/dev-icp-entry.js')).devIcpEntryList,
  },
  {
    name: 'dev-icp entry delete',
    summary: 'Remove a registered workload from the embedded ICP server.',
    load: async () => (await import('./commands/dev-icp-entry.js')).devIcpEntryDelete,
  },
  {
    name: 'completion',
    summary: 'Print a completion script for bash, zsh or fish.',
    load: async () => (await import('./commands/completion.js')).completion,
  },
  {
    name: 'version',
    summary: 'Print the version.',
    load: async () => (await import('./commands/version.js')).version,
  },
  {
    name: 'help',
    summary: 'List the commands, or show the help of one.',
    load: async () => (await import('./commands/help.js')).help,
  },
] as const satisfies readonly ListedCommand[]

export type CommandName = (typeof COMMANDS)[number]['name']

/** A command, and the arguments after its words. */
export interface FoundCommand {
  readonly command: ListedCommand
  readonly rest: readonly string[]
}

/**
 * The command whose words the arguments begin with, the longest of several; null: none.
 */
export function findCommand(args: readonly string[]): FoundCommand | null {
  let found: FoundCommand | null = null
  for (const command of COMMANDS) {
    const words = command.name.split(' ')
    const rest = args.slice(words.length)
    if (words.every((word, i) => args[i] === word) && (!found || rest.length < found.rest.length)) {
      found = { command, rest }
    }
  }
  return found
}

/** The commands of a group such as `api` or `api fetch`; empty if the words begin no command. */
export function groupOf(words: readonly string[]): readonly ListedCommand[] {
  const prefix = `${words.join(' ')} `
  return COMMANDS.filter(({ name }) => name.startsWith(prefix))
}
