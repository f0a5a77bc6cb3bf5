import { GO_SPIFFE, goProgram } from './support/go.js'
import { story } from './support/story.js'
import { go } from './support/toolchains.js'

story({ name: 'go-spiffe', version: GO_SPIFFE, toolchain: go(), build: goProgram })
