/** Boxes as CUDA, run on a processor: what the copy engine is asked for is what the kernels store, and what may be wrong in the text is found. */
import { beforeAll, describe, expect, it } from "vitest"
import { withTable } from "../../../compiler/ir/expression.js"
import type { LoopKernel } from "../../../compiler/ir/loop.js"
import { clampAccesses } from "../../../compiler/loop/clamp-accesses.js"
import { cudaTarget } from "../../../compiler/targets/target.js"
import { isRefusal, tile } from "../../../compiler/tile/tile.js"
import { contractionMemories } from "../../laws/fragments.js"
import { copied, type Effect, effectOf, type Memories, wrongEffect } from "../../laws/loops.js"
import { boxedProduct, boxedShapes } from "../../support/boxes.js"
import { compilerPresent, type Launch, runCuda, runCudaApart, textOf } from "./run.js"

interface Case {
  readonly kernel: LoopKernel
  readonly effect: Effect
}

const cases: readonly Case[] = boxedShapes.map((shape) =>
  withTable(() => {
    const { kernel, schedule } = boxedProduct(shape)
    const tiled = tile(kernel, schedule, cudaTarget.tile)
    if (isRefusal(tiled)) throw new Error(tiled.why)
    const made = cudaTarget.loopPasses.reduce((before, pass) => pass.run(before), tiled)
    const { loops, unproven } = clampAccesses(made, [])
    if (unproven.length > 0) throw new Error("an access is not proven")
    const memories = contractionMemories({ kernel, wide: new Set() }, 11)
    // Each batch takes the next one's.
    const owner = memories.get("owner")?.values
    for (let i = 0; i < (owner?.length ?? 0); i++) owner![i] = (i + 1) % owner!.length
    return { kernel: loops, effect: effectOf(kernel, memories, new Map(), "exact") }
  }),
)

const launchOf = ({ kernel, effect }: Case, fault?: Launch["fault"]): Launch => ({
  kernel,
  memories: copied(effect.before),
  symbols: new Map(),
  ...(fault === undefined ? {} : { fault }),
})

/** What a printer may do wrong. */
const faults: Readonly<Record<string, (text: string) => string>> = {
  "nobody waits": (text) => text.replaceAll(/wait_boxes\(.*\);/g, ""),
  "waits for odd groups where even ones come": (text) => text.replaceAll(/(wait_boxes\(.*) % 2\)\);/g, "$1 + 1) % 2);"),
  "no barrier": (text) => text.replace(/(wait_boxes\(.*\);\s*)barrier\(\);/, "$1"),
  "rows for columns": (text) =>
    text.replaceAll(/(copy_box\([^&]*&\w+), (.*), (.*), (\w+ \+ .*)\);/g, "$1, $3, $2, $4);"),
  "boxes that arrive elsewhere": (text) => text.replaceAll(/(expect_boxes\(\w+) \+ [^,]*,/g, "$1 + 0,"),
  "another number of bytes": (text) =>
    text.replace(/(expect_boxes\(.*, )(\d+)\)/, (_, call, n) => `${call}${Number(n) / 2})`),
  "matrices in one another's place": (text) => text.replaceAll(/&(\w*_)([01])\b/g, (_, name, n) => `&${name}${1 - n}`),
}
const faulty = Object.entries(faults).flatMap(([name, fault]) =>
  cases.filter(({ kernel }) => fault(textOf(kernel)) !== textOf(kernel)).map((of) => ({ name, of, fault })),
)

describe.skipIf(!compilerPresent())("boxes as CUDA", () => {
  let after: readonly (Memories | undefined)[]
  beforeAll(() => {
    after = runCuda(cases.map((c) => launchOf(c)))
  })

  it("are what the kernels store", () => {
    for (const { kernel } of cases) expect(textOf(kernel)).toContain("copy_box(")
    expect(cases.map(({ effect }, i) => after[i] && wrongEffect(effect, after[i]))).toEqual(cases.map(() => undefined))
  })

  it("find in the text what may be wrong there", () => {
    const names = Object.keys(faults)
    const first = names.map((name) => faulty.find((f) => f.name === name)!)
    // One that has no memories afterwards waits for ever, or asks for what no hardware does.
    const found = runCudaApart(first.map(({ of, fault }) => launchOf(of, fault)))
    const isFound = (i: number) => found[i] === undefined || wrongEffect(first[i]!.of.effect, found[i]) !== undefined
    expect(names.filter((_, i) => !isFound(i))).toEqual([])
  })
})
