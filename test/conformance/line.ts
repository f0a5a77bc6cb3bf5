import { test } from 'vitest'
import { CHECKLIST, type LineId } from './checklist.js'
import type { Scene } from './scene.js'
import { elsewhere, ownScene, type Target } from './target.js'

/** The test of one line of the checklist, against any agent. Its name is the line's id and sentence. */
export function line(id: LineId, run: (target: Target) => Promise<void>): void {
  test(nameOf(id), async () => run(elsewhere ?? (await ownScene())))
}

/** …against an agent whose server and entries the test changes, or that it starts itself. */
line.controlled = (id: LineId, run: (scene: Scene) => Promise<void>): void => {
  test(nameOf(id), async ({ skip }) => {
    skip(elsewhere !== null, 'it needs an agent whose entries and server are in the hand of the suite')
    await run(await ownScene())
  })
}

/** …of a part of this repository by itself: no agent is asked. */
line.local = (id: LineId, run: () => Promise<void> | void): void => {
  test(nameOf(id), async ({ skip }) => {
    skip(elsewhere !== null, 'it is about code of this repository, not about the agent behind the socket')
    await run()
  })
}

function nameOf(id: LineId): string {
  return `${id} ${CHECKLIST[id].sentence}`
}
