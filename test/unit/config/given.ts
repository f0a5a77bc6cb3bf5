import { expect } from 'vitest'
import { type ConfigSources, type LoadedConfig, loadConfig } from '../../../agent/config/load.js'
import type { Problem } from '../../../agent/config/problem.js'
import { AgentError } from '../../../agent/errors.js'
import { detailsOf } from '../../support/details.js'

export const TENANT = '123e4567-e89b-42d3-a456-426614174000'
export const KEY = Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64')
export const memory = (content: Record<string, string>): ConfigSources['files'] => ({
  read: async (path) => (content[path] === undefined ? null : Buffer.from(content[path])),
})

export interface Given {
  file?: string
  env?: Record<string, string>
  insideContainer?: boolean
  hostname?: string
  workingDirectory?: string
  absent?: true
  others?: Record<string, string>
}

export const load = ({ file, env = {}, insideContainer = false, hostname = 'node-1', others = {}, ...rest }: Given) =>
  loadConfig({
    path: 'c.yaml',
    env,
    hostname,
    insideContainer,
    files: memory({ ...others, ...(file === undefined ? {} : { 'c.yaml': file }) }),
    ...rest,
  })

/** The problems of a configuration that is refused; fails where it is not. */
export async function refused(given: Given): Promise<readonly Problem[]> {
  const error = await load(given).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toMatchObject({ code: 'config.invalid' })
  return error instanceof AgentError ? (detailsOf(error)['problems'] as readonly Problem[]) : []
}

export const keysOf = (problems: readonly Problem[]) => problems.map((problem) => problem.key)
/** A configuration with one setting, by variable. */
export const withVariable = (name: string, value: string): Given => ({
  file: '',
  env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, [name]: value },
})
export const warningsOf = ({ warnings }: LoadedConfig) => warnings.map((warning) => `${warning.key} ${warning.source}`)
