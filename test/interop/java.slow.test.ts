import { readFileSync } from 'node:fs'
import { join } from 'node:path'
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

story({
  name: 'java-spiffe',
  version:
    /java-spiffe-provider<\/artifactId>\s*<version>([^<]+)/.exec(
      readFileSync(join(DIRECTORY, 'pom.xml'), 'utf8'),
    )?.[1] ?? '',
  toolchain: java(),
  build,
})
