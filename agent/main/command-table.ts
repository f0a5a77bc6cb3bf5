import type { Command } from './command.js'
import type { CommandName } from './command-list.js'

/** Imports a command when it is needed: whoever runs one does not wait for the others to load. */
export const COMMANDS: Readonly<Record<CommandName, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.js')).run,
  validate: async () => (await import('./commands/validate.js')).validate,
  healthcheck: async () => (await import('./commands/healthcheck.js')).healthcheck,
  'api fetch x509': async () => (await import('./commands/api-fetch-x509.js')).apiFetchX509,
  'api fetch jwt': async () => (await import('./commands/api-fetch-jwt.js')).apiFetchJwt,
  'api fetch bundles': async () => (await import('./commands/api-fetch-bundles.js')).apiFetchBundles,
  'api watch x509': async () => (await import('./commands/api-watch-x509.js')).apiWatchX509,
  'api watch bundles': async () => (await import('./commands/api-watch-bundles.js')).apiWatchBundles,
  'api validate jwt': async () => (await import('./commands/api-validate-jwt.js')).apiValidateJwt,
  'dev-icp': async () => (await import('./commands/dev-icp.js')).devIcp,
  'dev-icp entry create': async () => (await import('./commands/dev-icp-entry.js')).devIcpEntryCreate,
  'dev-icp entry list': async () => (await import('./commands/dev-icp-entry.js')).devIcpEntryList,
  'dev-icp entry delete': async () => (await import('./commands/dev-icp-entry.js')).devIcpEntryDelete,
  version: async () => (await import('./commands/version.js')).version,
  help: async () => (await import('./commands/help.js')).help,
}
