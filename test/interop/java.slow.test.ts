import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { WEB } from './support/environment.js'
import { cell } from './support/matrix.js'
import { built, CLIENTS, type Program } from './support/programs.js'
import { story } from './support/story.js'
import { java } from './support/toolchains.js'

const DIRECTORY = join(CLIENTS, 'java')
const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies'

async function build(): Promise<Program> {
  const out = await built('java', [DIRECTORY], (target) => {
    const lib = join(target, 'lib')
    return [
      { argv: ['mvn', '--quiet', '--batch-mode', PLUGIN, `-DoutputDirectory=${lib}`], cwd: DIRECTORY },
      {
        argv: ['javac', '-d', join(target, 'classes'), '-cp', `${lib}/*`, 'Workload.java', 'Handshake.java'],
        cwd: DIRECTORY,
      },
    ]
  })
  return { command: 'java', args: ['-cp', `${join(out, 'classes')}:${join(out, 'lib')}/*`, 'Workload'] }
}

const VERSION = /java-spiffe-provider<\/artifactId>\s*<version>([^<]+)/
const NAME = 'java-spiffe'

story({
  name: NAME,
  version: VERSION.exec(readFileSync(join(DIRECTORY, 'pom.xml'), 'utf8'))?.[1] ?? '',
  toolchain: java(),
  build,
  more({ workload, rotated }) {
    cell(NAME, 'mTLS', 'authenticates with the SSLContext of its provider, before and after a rotation', async () => {
      expect((await workload().ask('handshake', WEB)).result).toEqual({ id: WEB })
      await rotated()
      expect((await workload().ask('handshake', WEB)).result).toEqual({ id: WEB })
      expect((await workload().ask('handshake', `${WEB}/other`)).error).toBeDefined()
      return 'both ends in one process, before and after a rotation'
    })
  },
})
