import { refusesBareSvids } from './support/bare-story.js'
import { pinned, pythonProgram } from './support/python.js'
import { story } from './support/story.js'
import { python } from './support/toolchains.js'

const client = {
  name: 'py-spiffe',
  version: pinned('python', 'spiffe'),
  toolchain: python(),
  server: { basicConstraints: true },
  build: () => pythonProgram('python'),
}

story(client)
refusesBareSvids(client, {
  mode: 'watch',
  event: 'x509-ended',
  words: /Leaf certificate must have BasicConstraints extension/,
})
