import { beforeAll, test } from 'vitest'
import { CHECKLIST, type LineId } from './checklist.js'
import type { Scene } from './scene.js'
import { elsewhere, ownScene, type Target } from './target.js'

/** A busy machine is no failure: nothing waits so long but what never comes. */
const PATIENCE_MS = 180_000
let prepared = false

/** The test of one line of the checklist, against any agent. Its name is the line's id and sentence. */
export function line(id: LineId, run: (target: Target) => Promise<void>): void {
  prepare()
  test(nameOf(id), { timeout: PATIENCE_MS }, async () => run(elsewhere ?? (await ownScene())))
}

/** …against an agent whose server and entries the test changes, or that it starts itself. */
line.controlled = (id: LineId, run: (scene: Scene) => Promise<void>): void => {
  prepare()
  test(nameOf(id), { timeout: PATIENCE_MS }, async ({ skip }) => {
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

/** The agent is started before the first test that asks it, on nobody's time. */
function prepare(): void {
  if (prepared || elsewhere) return
  prepared = true
  beforeAll(async () => void (await ownScene()), PATIENCE_MS)
}

function nameOf(id: LineId): string {
  return `${id} ${CHECKLIST[id].sentence}`
}
