/** Operands that the copy engine brings as boxes: their loops store what the kernels store, and what may go wrong with boxes is found. */
import { expect, test } from "vitest"
import { type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { add, apply, literal, mul, variable, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { emitWgsl } from "../../compiler/targets/wgsl/emit.js"
import { defaultWgslLimits } from "../../compiler/targets/wgsl/limits.js"
import { type BoxedShape, boxedProduct, boxedShapes } from "../support/boxes.js"
import { contractionMemories } from "./fragments.js"
import { type Effect, effectOf, isWrong, loopsOf, runLoops, wrongEffect } from "./loops.js"
import { type Change, changedEverywhere } from "./mutate.js"

const options = { maxGroups: 65536, sharedBytes: 1 << 20 }

/** Batches take one another's, and the last one the first one's. */
function memoriesFor(made: ReturnType<typeof boxedProduct>): Map<string, Memory> {
  const memories = contractionMemories({ kernel: made.kernel, wide: new Set() }, 7)
  const owner = memories.get("owner")
  for (let i = 0; i < (owner?.size ?? 0); i++) writeElement(owner!, i, (i + 1) % owner!.size)
  return memories
}

function boxed(shape: BoxedShape, use: (loops: LoopKernel, effect: Effect) => void, groups?: number): void {
  withTable(() => {
    const made = boxedProduct(shape)
    const stages = loopsOf(made.kernel, {
      schedule: made.schedule,
      options: groups === undefined ? options : { ...options, maxGroups: groups },
    })
    if (typeof stages === "string") throw new Error(stages)
    use(stages.tiled, effectOf(made.kernel, memoriesFor(made), new Map(), "exact"))
  })
}

const isBoxed = (s: Statement) => s.kind === "copyBoxes"

test.each(boxedShapes)("$atom of $rows × $columns × $depth", (shape) => {
  boxed(shape, (loops, effect) => {
    expect(verifyLoop(loops)).toEqual([])
    expect(proveAccesses(loops).unproven.filter(({ statement }) => isBoxed(statement))).toEqual([])
    const all = everyStatement(loops.body)
    expect([all.some(isBoxed), all.some((s) => s.kind === "copy")]).toEqual([true, false])
    expect(wrongEffect(effect, runLoops(loops, effect.before, new Map(), 1))).toBeUndefined()
  })
})

test("arrivals are there again for the next cell of a workgroup", () => {
  boxed(
    boxedShapes[0]!,
    (loops, effect) => {
      expect(loops.groups).toBe(2)
      expect(wrongEffect(effect, runLoops(loops, effect.before, new Map(), 3))).toBeUndefined()
    },
    2,
  )
})

const boxes = (s: Statement, change: (copy: (Statement & { kind: "copyBoxes" })["boxes"][number]) => typeof copy) =>
  s.kind === "copyBoxes" ? { ...s, boxes: s.boxes.map(change) } : s

/** What may go wrong: a statement as it should not be, or none in its place. */
const faults: Readonly<Record<string, Change>> = {
  "nobody waits for boxes": (s) => (s.kind === "arrived" ? undefined : s),
  "a wait for the group before": (s) =>
    s.kind === "arrived" ? { ...s, number: apply("max", add(s.number, literal(-1)), literal(0)) } : s,
  "no barrier": (s) => (s.kind === "barrier" ? undefined : s),
  "fewer places than groups under way": (s) => (s.kind === "arrivals" ? { ...s, places: 1 } : s),
  "a group that was begun before": (s) => (s.kind === "copyBoxes" ? { ...s, number: literal(0) } : s),
  "a box of the next row": (s) =>
    boxes(s, ({ to, from }) => ({ to, from: { ...from, row: add(from.row, literal(1)) } })),
  "a box of the next column": (s) =>
    boxes(s, ({ to, from }) => ({ to, from: { ...from, column: add(from.column, literal(1)) } })),
  "a box of fewer rows": (s) => boxes(s, ({ to, from }) => ({ to, from: { ...from, height: from.height / 2 } })),
  "boxes in another stage": (s) =>
    boxes(s, ({ to, from }) => ({ to: { ...to, offset: mul(to.offset, literal(0)) }, from })),
  "a matrix that ends too early": (s) =>
    boxes(s, ({ to, from }) => ({ to, from: { ...from, rows: from.rows - 1, columns: from.columns - 1 } })),
}

test.each(Object.keys(faults))("planted: %s", (name) => {
  const found = boxedShapes.slice(0, 4).some((shape) => {
    let wrong = false
    boxed(shape, (loops, effect) => {
      wrong = isWrong(effect, changedEverywhere(loops, faults[name]!), new Map(), 5)
    })
    return wrong
  })
  expect(found).toBe(true)
})

/** What the verifier says of loops with one change. */
const refused: Readonly<Record<string, readonly [Change, string]>> = {
  "a number of its own for each lane": [
    (s) => (s.kind === "arrived" ? { ...s, number: variable("lane") } : s),
    "lanes may give different numbers",
  ],
  "rows that do not begin at 16 bytes": [
    (s) => boxes(s, ({ to, from }) => ({ to, from: { ...from, stride: from.stride + 1 } })),
    "no multiple of 16",
  ],
  "rows of another width than the swizzle": [
    (s) => boxes(s, ({ to, from }) => ({ to, from: { ...from, width: from.width / 2 } })),
    "swizzled by",
  ],
  "a place between two periods of the swizzle": [
    (s) => boxes(s, ({ to, from }) => ({ to: { ...to, offset: literal(8) }, from })),
    "is no multiple of",
  ],
  "arrivals that are not there": [(s) => (s.kind === "arrivals" ? undefined : s), "is not declared"],
  "boxes of some lanes": [
    (s) =>
      s.kind === "if" && s.body.some(isBoxed) ? { ...s, condition: apply("lt", variable("lane"), literal(3)) } : s,
    "control may differ",
  ],
}

test.each(Object.keys(refused))("refused: %s", (name) => {
  boxed(boxedShapes[0]!, (loops) => {
    const [change, says] = refused[name]!
    expect(
      verifyLoop(changedEverywhere(loops, change))
        .map((p) => p.message)
        .join("\n"),
    ).toContain(says)
  })
})

test("a matrix beyond its buffer is not proven, and targets without a copy engine refuse boxes", () => {
  boxed(boxedShapes[0]!, (loops) => {
    const longer = changedEverywhere(loops, (s) =>
      boxes(s, ({ to, from }) => ({ to, from: { ...from, rows: from.rows + 1 } })),
    )
    expect(proveAccesses(longer).unproven.some(({ statement }) => isBoxed(statement))).toBe(true)
    const plain = changedEverywhere(loops, (s) => (s.kind === "fill" || s.kind === "multiply" ? undefined : s))
    const bare = changedEverywhere(plain, (s) =>
      s.kind === "alloc" && s.layout !== undefined ? { ...s, layout: undefined as never } : s,
    )
    expect(() => emitWgsl(bare, { symbolOrder: [], limits: defaultWgslLimits, unrollable: true })).toThrow(
      "copies boxes",
    )
  })
})
