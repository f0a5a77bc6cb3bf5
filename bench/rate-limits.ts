import { simulate } from '../test/simulation/shared-address.js'

/** The number of one-hour SVIDs behind one address that are all issued and renewed in time: the worst of three seeds. */
const SEEDS = [1, 2, 3]
const HOURS = 12
const STEP = 100

for (const agents of [1, 2, 5, 10, 20, 50]) {
  let entries = 600
  while (SEEDS.every((seed) => holds(agents, entries, seed))) entries += STEP
  process.stdout.write(`${agents} agents: ${entries - STEP} hold, ${entries} do not\n`)
}

function holds(agents: number, entries: number, seed: number): boolean {
  const { expired, unissued } = simulate({ agents, entries, hours: HOURS, seed })
  return expired + unissued === 0
}
