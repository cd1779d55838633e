/** Online folds whose chunks the copy engine brings: their loops store what the kernels store, and what may go wrong with places that lanes leave is found. */
import { expect, test } from "vitest"
import { LoopFault } from "../../compiler/interpret/loop.js"
import { apply, literal, mul, variable, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement, StatementOf } from "../../compiler/ir/loop.js"
import { everyStatement, withBodies } from "../../compiler/ir/loop-visit.js"
import { proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { type OnlineBoxes, onlineBoxes, onlineBoxesMemories, onlineOfBoxes } from "../support/online-boxes.js"
import { type Effect, effectOf, loopsOf, runLoops } from "./loops.js"
import { type Change, changedEverywhere } from "./mutate.js"
import { wrongOnline } from "./online-fragments.js"

const options = { maxGroups: 65536, sharedBytes: 1 << 20 }

interface Made {
  readonly loops: LoopKernel
  readonly effect: Effect
  readonly symbols: ReadonlyMap<string, number>
}

function boxed(shape: OnlineBoxes, use: (made: Made) => void, groups?: number): void {
  withTable(() => {
    const made = onlineOfBoxes(shape)
    const own = groups === undefined ? options : { ...options, maxGroups: groups }
    const stages = loopsOf(made.kernel, { schedule: made.schedule, options: own })
    if (typeof stages === "string") throw new Error(stages)
    const effect = effectOf(made.kernel, onlineBoxesMemories(made, 3), made.symbols, "exact")
    use({ loops: stages.tiled, effect, symbols: made.symbols })
  })
}

const problemOf = ({ effect, symbols }: Made, loops: LoopKernel, seed: number) =>
  wrongOnline(effect, runLoops(loops, effect.before, symbols, seed))

const isLast = (s: Statement): s is StatementOf<"copyBoxes"> => s.kind === "copyBoxes" && s.last === true
/** Whether a statement does nothing else, where there are such boxes. */
const leaves = (s: Statement): boolean =>
  isLast(s) || (s.kind === "if" && s.body.every(leaves) && s.otherwise.length === 0)
const hasLast = (s: Statement): boolean => everyStatement([s]).some(isLast)

test.each(onlineBoxes)("$atom, chunks of $chunk in $stages places", (shape) => {
  boxed(shape, (made) => {
    const { loops } = made
    expect(verifyLoop(loops)).toEqual([])
    const all = everyStatement(loops.body)
    expect(all.some(isLast)).toBe(true)
    // Nobody meets in the loop over chunks, but where the last one is cleared.
    const loop = all.find(
      (s): s is StatementOf<"for"> => s.kind === "for" && s.bind === "serial" && s.body.some(hasLast),
    )!
    expect(loop.body.filter((s) => s.kind === "barrier")).toEqual([])
    const { unproven } = proveAccesses(loops)
    expect(unproven.filter(({ statement }) => statement.kind !== "store" || statement.array !== "y")).toEqual([])
    for (const seed of [1, 2]) expect(problemOf(made, loops, seed)).toBeUndefined()
  })
})

test("places are free again for the next cell of a workgroup", () => {
  boxed(
    onlineBoxes[0]!,
    (made) => {
      expect(made.loops.groups).toBe(1)
      expect(problemOf(made, made.loops, 4)).toBeUndefined()
    },
    1,
  )
})

/** Loops in which each place is left before the first, or last, statement of a kind that stands in front of that. */
const leftBefore = (which: "findIndex" | "findLastIndex", is: (s: Statement) => boolean) => {
  const visit = (body: readonly Statement[]): readonly Statement[] => {
    const list = body.map((s) => withBodies(s, visit))
    const at = list.findIndex(leaves)
    const to = list.slice(0, Math.max(0, at))[which](is)
    if (to < 0) return list
    return [...list.slice(0, to), list[at]!, ...list.slice(to, at), ...list.slice(at + 1)]
  }
  return (loops: LoopKernel): LoopKernel => ({ ...loops, body: visit(loops.body) })
}
const multiplies = (s: Statement) => everyStatement([s]).some((x) => x.kind === "multiply")

const everywhere = (change: Change) => (loops: LoopKernel) => changedEverywhere(loops, change)
const gone = (isGone: (s: Statement) => boolean) => everywhere((s) => (isGone(s) ? { kind: "block", body: [] } : s))

/** What may go wrong. */
const faults: Readonly<Record<string, (loops: LoopKernel) => LoopKernel>> = {
  "nobody waits for boxes": gone((s) => s.kind === "arrived"),
  "the first lane asks, without waiting for others": everywhere((s) =>
    isLast(s) ? { kind: s.kind, arrivals: s.arrivals, number: s.number, boxes: s.boxes } : s,
  ),
  "the first chunks wait for what was never there": everywhere((s) =>
    s.kind === "copyBoxes" ? { ...s, last: true } : s,
  ),
  "places that nobody leaves": gone(isLast),
  "places that some lanes do not leave": everywhere((s) =>
    s.kind === "if" && s.body.some(isLast)
      ? { ...s, condition: apply("and", s.condition, apply("lt", variable("lane"), literal(32))) }
      : s,
  ),
  "boxes in another place": everywhere((s) =>
    isLast(s)
      ? { ...s, boxes: s.boxes.map(({ to, from }) => ({ from, to: { ...to, offset: mul(to.offset, literal(0)) } })) }
      : s,
  ),
  "one place more than there are": everywhere((s) => (s.kind === "arrivals" ? { ...s, places: s.places + 1 } : s)),
  "values beyond the end": gone((s) => s.kind === "store" && s.array.startsWith("operand")),
  "no barrier": gone((s) => s.kind === "barrier"),
  "products that nobody waits for": gone((s) => s.kind === "wait" && s.of === "products"),
  "places that are left before they are read": leftBefore("findIndex", multiplies),
  "places that are left while they are read": leftBefore(
    "findLastIndex",
    (s) => s.kind === "wait" && s.of === "products",
  ),
}

test.each(Object.keys(faults))("planted: %s", (name) => {
  const isFound = (shape: OnlineBoxes): boolean => {
    let found = false
    boxed(shape, (made) => {
      try {
        found = problemOf(made, faults[name]!(made.loops), 5) !== undefined
      } catch (e) {
        if (!(e instanceof LoopFault)) throw e
        found = true
      }
    })
    return found
  }
  expect(onlineBoxes.some(isFound)).toBe(true)
})

test("lanes are counted by subgroups", () => {
  boxed(onlineBoxes[0]!, ({ loops }) => {
    const odd = { ...loops, threads: 48 }
    expect(
      verifyLoop(odd)
        .map((p) => p.message)
        .join("\n"),
    ).toContain("no groups of 32, by which they come")
  })
})
