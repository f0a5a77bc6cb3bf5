import { describe, expect, it } from 'vitest'
import { isLoneDigest } from '../../../agent/main/lone-digests.js'

const SHA = ['unix:sha256', 'a'.repeat(64)] as const

describe('an entry that asks for a digest', () => {
  it.each<[string, readonly (readonly [string, string])[], boolean]>([
    ['alone', [SHA], true],
    ['and a path', [SHA, ['unix:path', '/usr/bin/app']], true],
    ['and a group, which others are in too', [SHA, ['unix:gid', '100']], true],
    ['and a node', [SHA, ['node:name', 'one']], true],
    ['and a user', [SHA, ['unix:uid', '1000']], false],
    ['and the name of a user', [SHA, ['unix:user', 'app']], false],
    ['and a container', [SHA, ['docker:container-name', 'app']], false],
    ['and a pod', [SHA, ['k8s:ns', 'default']], false],
    ['and a unit', [SHA, ['systemd:id', 'app.service']], false],
  ])('%s', (_name, selectors, alone) => {
    expect(isLoneDigest(new Map(selectors))).toBe(alone)
  })

  it('is not what asks for a path alone', () => {
    expect(isLoneDigest(new Map([['unix:path', '/usr/bin/app']]))).toBe(false)
  })
})
