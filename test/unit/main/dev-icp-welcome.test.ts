import { expect, test } from 'vitest'
import { nextSteps } from '../../../agent/main/dev-icp-welcome.js'

test.each([
  ['npx', { npm_command: 'exec' }, 'npx icp-agent'],
  ['its name', {}, 'icp-agent'],
  ['a script of npm', { npm_command: 'run-script' }, 'icp-agent'],
])('what to type next begins as the server was started: by %s', (_how, env, icpAgent) => {
  const commands = nextSteps('/data', env)
    .split('\n')
    .filter((line) => line.includes('icp-agent '))
    .map((line) => line.trim())
  expect(commands).toContain(`${icpAgent} --config /data/agent.yaml`)
  expect(commands.filter((command) => !command.startsWith(`${icpAgent} `))).toEqual([])
})
