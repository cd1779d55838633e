/**
 * The pool of random programs that the laws of fuse, simplify, tile and plan share, each with a random kernel beside it; and what they are
 * compared with: a program is interpreted once, and its kernels run once.
 */
import fc from "fast-check"
import type { Dense } from "../../compiler/interpret/tensor.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { canonical } from "../../compiler/kernel/name-buffers.js"
import { type Compiled, execute, found, fuseProgram, simplified } from "./execute.js"
import { buildProgram, type LawProgram, recipes, rootsOf } from "./generate.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildKernel, kernelRecipes } from "./kernels.js"
import { cutLimits } from "./limits.js"
import { type Effect, effectOf } from "./loops.js"
import { kernelsOf, meaning, none } from "./meaning.js"
import { poolOf } from "./pool.js"
import { scheduleNumbers } from "./schedules.js"

const cases = fc.record({
  recipe: recipes(),
  kernel: kernelRecipes,
  canonical: fc.boolean(),
  cuts: cutLimits,
  bindings: fc.constantFrom(8, 4, 32),
  simplify: fc.boolean(),
  schedule: scheduleNumbers,
  target: fc.constantFrom("wasm" as const, "webgpu" as const),
})
export type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

/** A program whose kernels have run. */
interface Run {
  /** What was fused: the program, maybe simplified. */
  readonly after: LawProgram
  readonly compiled: Compiled
  readonly effects: readonly Effect[]
  readonly results: readonly (readonly number[])[]
}

function runOf(p: LawProgram, { simplify, cuts, bindings }: Case): Run {
  const after = simplify ? simplified(p) : p
  none(verifyTensor(rootsOf(after)))
  const compiled = fuseProgram(after, cuts, bindings)
  none(kernelsOf(compiled).flatMap(verifyKernel))
  const effects: Effect[] = []
  const memories = execute(compiled, after, (k, buffers) => {
    effects.push(effectOf(k, buffers, p.values, p.regime))
  })
  return { after, compiled, effects, results: found(after, compiled, memories) }
}

export interface Level {
  readonly drawn: Case
  readonly program: LawProgram
  readonly expected: () => readonly Dense[]
  readonly run: () => Run
  /** The same program with states that the compiler's own schedules store. */
  readonly unpacked: () => LawProgram
  /** The random kernel with its effect and its symbols. */
  readonly random: () => { readonly effect: Effect; readonly symbols: ReadonlyMap<string, number> }
}

export const randomKernel = ({ kernel, canonical: renamed }: Pick<Case, "kernel" | "canonical">): Kernel =>
  renamed ? canonical(buildKernel(kernel)).kernel : buildKernel(kernel)

function levelOf(drawn: Case): Level {
  const program = buildProgram(drawn.recipe)
  return {
    drawn,
    program,
    expected: () => meaning(program),
    run: once(() => runOf(program, drawn)),
    unpacked: once(() => (drawn.recipe.packed ? buildProgram({ ...drawn.recipe, packed: false }) : program)),
    random: once(() => {
      const kernel = randomKernel(drawn)
      const symbols = new Map([["seq", drawn.kernel.seq]])
      return { effect: effectOf(kernel, kernelMemories(kernel, drawn.kernel.seed), symbols, "exact"), symbols }
    }),
  }
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** The slowest fault is found by about 16 programs in the median. */
export const levels = poolOf(cases, 100, levelOf)
