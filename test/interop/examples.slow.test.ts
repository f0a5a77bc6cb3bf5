import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Environment, WEB } from './support/environment.js'
import { type Example, ExampleProcess, goExample, nodeExample, pythonExample, type Role } from './support/examples.js'
import { go, python } from './support/toolchains.js'

const LANGUAGES = [
  { name: 'Node', missing: null, build: nodeExample },
  { name: 'Python', missing: python().missing, build: pythonExample },
  { name: 'Go', missing: go().missing, build: goExample },
]
const here = LANGUAGES.filter(({ missing }) => missing === null).map(({ name }) => name)

describe('the examples', () => {
  let environment: Environment
  const examples = new Map<string, Example>()
  const running: ExampleProcess[] = []
  const start = (language: string, role: Role, ...args: readonly string[]) => {
    const example = examples.get(language)
    if (!example) throw new Error(`there is no example in ${language}`)
    const process = new ExampleProcess(example(role), environment.agent.address, ...args)
    running.push(process)
    return process
  }

  beforeAll(async () => {
    // py-spiffe demands the extension that the option is named after.
    environment = await Environment.open({ server: { svidTtlSeconds: 20, basicConstraints: true } })
    for (const { name, missing, build } of LANGUAGES) {
      if (missing === null) examples.set(name, await build(environment.dir))
    }
  })
  afterAll(async () => {
    for (const process of running) await process[Symbol.asyncDispose]()
    await environment?.[Symbol.asyncDispose]()
  })

  for (const { name, missing } of LANGUAGES) {
    const title = missing === null ? name : `${name} (skipped: ${missing})`
    it.skipIf(missing !== null)(`in ${title} tells its identity, and each rotation`, async () => {
      const watch = start(name, 'watch')
      const first = await watch.line(new RegExp(`^${WEB} until `))
      await watch.line(new RegExp(`^${WEB} until (?!${first.split(' until ')[1]?.replace(/[+()]/g, '\\$&')})`))
    })

    it.skipIf(missing !== null)(`in ${title} has a server that clients of every language can ask`, async () => {
      const server = start(name, 'server', '0')
      const port = /\d+$/.exec(await server.line(/ listens on 127\.0\.0\.1:\d+$/))?.[0] ?? ''
      for (const language of here) {
        const client = start(language, 'client', port)
        expect(await client.line(/^hello /), language).toBe(`hello ${WEB}`)
        expect(await client.end(), language).toBe(0)
      }
    })
  }

  it('greet nobody who shows no SVID', async () => {
    for (const name of here) {
      const server = start(name, 'server', '0')
      const port = Number(/\d+$/.exec(await server.line(/ listens on /))?.[0])
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
      const closed = new Promise((resolve) => socket.on('error', () => socket.destroy()).once('close', resolve))
      let said = ''
      socket.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
      socket.write('GET / HTTP/1.0\r\n\r\n')
      await closed
      expect(said, name).toBe('')
    }
  })
})
