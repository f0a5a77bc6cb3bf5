import { afterEach } from 'vitest'

/** For a file of tests: what it keeps is disposed of after each test, the last first. */
export function keeping(): <T extends AsyncDisposable>(thing: T) => T {
  const open: AsyncDisposable[] = []
  afterEach(async () => {
    for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]()
  })
  return (thing) => {
    open.push(thing)
    return thing
  }
}
