import { readFileSync } from 'node:fs'

/** Set by the bundler; a plain build reads package.json, two folders above `dist/agent`. */
declare const ICP_AGENT_VERSION: string | undefined

/** The version of this agent, `1.2.3`. */
export function agentVersion(): string {
  if (typeof ICP_AGENT_VERSION === 'string') return ICP_AGENT_VERSION
  for (const candidate of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(candidate, import.meta.url), 'utf8')) as Record<
        string,
        string
      >
      if (name === 'icp-agent' && version) return version
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return 'unknown'
}
