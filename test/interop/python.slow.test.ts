import { pinned, pythonProgram } from './support/python.js'
import { story } from './support/story.js'
import { python } from './support/toolchains.js'

story({
  name: 'py-spiffe',
  version: pinned('python', 'spiffe'),
  toolchain: python(),
  build: () => pythonProgram('python'),
})
