/**
 * Planted faults: cases are drawn until one of them shows the fault.
 *
 *   const cases = drawsOf(fc.record({ … }))                        for all faults of a file
 *   hunt("split", "last part forgotten", cases, (c, n) => …)       true where it is seen, undefined where it has no place
 *
 * Cases are the same for a seed, and drawn when they are first asked for: a fault that few of them show costs what it takes, and no seed
 * misses it. `scripts/planted-faults.mjs` tells what each takes.
 */
import { appendFileSync } from "node:fs"
import fc from "fast-check"
import { withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { type Change, changedEverywhere } from "./mutate.js"
import { seed } from "./settings.js"

/** Cases without the fault seen, after which it counts as one that is never found: fifty times what the slowest one takes in the mean. */
const enough = 20_000

/** The n-th of what is drawn. */
export function drawsOf<T>(arbitrary: fc.Arbitrary<T>): (n: number) => T {
  const drawn: T[] = []
  return (n) => {
    // More of them begin with the same ones.
    if (n >= drawn.length) drawn.push(...fc.sample(arbitrary, { seed, numRuns: 2 * n + 32 }).slice(drawn.length))
    return drawn[n]!
  }
}

/** @throws when no case shows the fault */
export function hunt<T>(
  law: string,
  fault: string,
  draw: (n: number) => T,
  see: (drawn: T, n: number) => boolean | undefined,
): void {
  let places = 0
  for (let n = 0; n < enough; n++) {
    const seen = see(draw(n), n)
    if (seen !== undefined) places++
    if (seen !== true) continue
    foundBy(law, fault, n + 1)
    return
  }
  throw new Error(`'${fault}' is not found by ${enough} cases, ${places} with a place for it; WEFT_SEED=${seed}`)
}

/** Loops, and whether others in their place do something else. */
export interface Tried {
  readonly loops: LoopKernel
  readonly isWrong: (loops: LoopKernel) => boolean
}

/** Hunts changes, each made wherever it applies, until the loops of some case have shown each. */
export function huntChanges<T>(
  law: string,
  changes: Readonly<Record<string, Change>>,
  draw: (n: number) => T,
  tried: (drawn: T) => Tried | undefined,
): void {
  const left = new Set(Object.keys(changes))
  hunt(law, "all of them", draw, (drawn, n) =>
    withTable(() => {
      const made = tried(drawn)
      if (made === undefined) return undefined
      for (const name of left)
        if (made.isWrong(changedEverywhere(made.loops, changes[name]!))) {
          left.delete(name)
          foundBy(law, name, n + 1)
        }
      return left.size === 0
    }),
  )
}

/** Writes down which case found a planted fault, for scripts/planted-faults.mjs. */
function foundBy(law: string, fault: string, program: number): void {
  const file = process.env.WEFT_FAULTS
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ law, fault, program, seed })}\n`)
}
