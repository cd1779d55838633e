import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { nodesOf } from "../../compiler/ir/query.js"
import { proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { drawsOf, huntChanges } from "./hunt.js"
import { type Effect, effectOf, loopsOf, runLoops } from "./loops.js"
import type { Change } from "./mutate.js"
import { buildOnline, type OnlineRecipe, onlineMemories, onlineRecipes, wrongOnline } from "./online-fragments.js"
import { law, patience, runs } from "./settings.js"

const counts = new Map<string, number>()
const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
const options = { maxGroups: 65536, sharedBytes: 1 << 20 }

/** Runs loops, and says what is wrong with what they store. */
const wrong = (effect: Effect, loops: LoopKernel, symbols: ReadonlyMap<string, number>, seed: number) =>
  wrongOnline(effect, runLoops(loops, effect.before, symbols, seed))

function isWrong(effect: Effect, loops: LoopKernel, symbols: ReadonlyMap<string, number>, seed: number): boolean {
  try {
    return wrong(effect, loops, symbols, seed) !== undefined
  } catch {
    return true
  }
}

const symbolsOf = ({ seq, past }: OnlineRecipe) =>
  new Map([
    ["seq", seq],
    ["past", past],
  ])

const isOfResults = (s: Statement) => s.kind === "store" && ["y", "z"].includes(s.array)

function check(recipe: OnlineRecipe): void {
  withTable(() => {
    const made = buildOnline(recipe)
    const { kernel, schedule } = made
    expect(verifyKernel(kernel)).toEqual([])
    const symbols = symbolsOf(recipe)
    const effect = effectOf(kernel, onlineMemories(made, recipe), symbols, "exact")
    const stages = loopsOf(kernel, { schedule, options })
    if (typeof stages === "string") return count(`refused ${stages}`)
    count("tiled")
    for (const trait of made.traits) count(trait)
    if (everyStatement(stages.tiled.body).some((s) => s.kind === "copyBoxes")) count("boxes")
    for (const loops of [stages.tiled, stages.merged]) {
      expect(verifyLoop(loops)).toEqual([])
      // Stores are behind guards from which it is not always seen that they are inside; the interpreter sees where they go.
      const { unproven } = proveAccesses(loops)
      expect(unproven.filter(({ statement }) => !isOfResults(statement))).toEqual([])
      const problem = wrong(effect, loops, symbols, recipe.seed)
      expect(problem, problem && printLoop(loops)).toBeUndefined()
    }
  })
}

const describe = (recipe: OnlineRecipe): string =>
  withTable(() => {
    const { kernel, schedule } = buildOnline(recipe)
    return `${printKernel(kernel)}\n${JSON.stringify(schedule)}\nseq ${recipe.seq} past ${recipe.past}`
  })

test("which places a lane has is not for a schedule to say", () =>
  withTable(() => {
    const { kernel, schedule } = buildOnline({ numbers: [], seq: 1, past: 0, seed: 0 })
    const [store] = schedule.stores
    const stores = [{ ...store!, tile: { ...store!.tile, r0: { block: 16, perThread: 2 } } }]
    expect(typeof loopsOf(kernel, { schedule, options })).toBe("object")
    expect(loopsOf(kernel, { schedule: { ...schedule, stores }, options })).toBe("atom/tile")
  }))

/** What may go wrong: a statement as it should not be, or none in its place. */
const faults: Readonly<Record<string, Change>> = {
  "a wait too few": (s) => (s.kind === "wait" ? undefined : s),
  "a barrier too few": (s) => (s.kind === "barrier" ? undefined : s),
  "a fragment the other way round": (s) => (s.kind === "fill" ? { ...s, transposed: !s.transposed } : s),
  "lanes that do not exchange": (s) =>
    s.kind === "shuffle" ? { kind: "let", name: s.name, value: s.value, mutable: false } : s,
  "results that do not follow their pivots": (s) => (s.kind === "assign" && s.name.startsWith("pivot") ? undefined : s),
  "every chunk as if all of it counted": (s) =>
    s.kind === "if" && s.otherwise.length > 0 ? { ...s, otherwise: s.body } : s,
  "products of chunks that do not count as scores": (s) =>
    s.kind === "if" && s.condition.kind === "operation" && s.condition.operation === "not" ? undefined : s,
  "kept results that do not follow their pivots": (s) =>
    s.kind === "assign" && s.name.startsWith("then") ? undefined : s,
  "kept results that are forgotten": (s) =>
    s.kind === "for" && s.bind === "unroll" && isRestoring(s.body) ? undefined : s,
  "scores added to the chunk before": (s) =>
    s.kind === "multiply" && s.fresh === true ? { kind: s.kind, atom: s.atom, c: s.c, a: s.a, b: s.b } : s,
}

/** What is put aside, added to results. */
const isRestoring = (body: readonly Statement[]): boolean =>
  everyStatement(body).some(
    (s) =>
      s.kind === "store" &&
      s.array.startsWith("result") &&
      nodesOf([s.value], "fetch").some((f) => f.array.startsWith("aside")),
  )

test(
  "planted faults are found",
  () => {
    let wide = 0
    const tried = (recipe: OnlineRecipe) => {
      const made = buildOnline(recipe)
      const stages = loopsOf(made.kernel, { schedule: made.schedule, options })
      if (typeof stages === "string") return undefined
      // Large groups are interpreted slowly.
      if (made.traits.includes("asynchronous") && wide++ > 0) return undefined
      const symbols = symbolsOf(recipe)
      const effect = effectOf(made.kernel, onlineMemories(made, recipe), symbols, "exact")
      const isFound = (loops: LoopKernel) =>
        verifyLoop(loops).length > 0 || isWrong(effect, loops, symbols, recipe.seed)
      return { loops: stages.tiled, isWrong: isFound }
    }
    huntChanges("online fragments", faults, drawsOf(onlineRecipes), tried)
  },
  patience,
)

test(
  "online folds by matrix units store what the kernels store",
  () => {
    law("online fragments", onlineRecipes, 24, check, describe)
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    for (const name of ["tiled", "causal", "kept"])
      if (runs(24) >= 24) expect(counts.get(name) ?? 0, name).toBeGreaterThan(0)
  },
  patience,
)
